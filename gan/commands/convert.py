"""`convert`: export a bundle's generator for other programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gan.commands import options as opt
from gan.errors import InputError
from gan.terminal import Failed, emit, say

if TYPE_CHECKING:
    from gan.storage.storage import Storage

Onnx = Annotated[bool, typer.Option("--onnx", help="also as generator.onnx, for ONNX Runtime and others")]
Pt2 = Annotated[bool, typer.Option("--pt2", help="also as generator.pt2, a program of torch.export")]


def convert(
    bundle: opt.Bundle,
    onnx: Onnx = False,
    pt2: Pt2 = False,
    out: Annotated[str | None, typer.Option(metavar="DIR", help="folder to write into; default: the bundle")] = None,
    json: opt.Json = False,
) -> None:
    """Write an exported generator for programs other than this one.

    Its images are compared with PyTorch's first. ONNX needs the packages of 'gan-search[onnx]'.

    Example: gan-search convert my-generator --onnx --pt2
    """
    from gan.storage.storage import Storage

    formats = formats_of(onnx, pt2)
    if not formats:
        raise InputError("convert: say what to make: --onnx, --pt2 or both")
    written = convert_bundle(bundle, formats, Storage(out or bundle))
    if json:
        emit({"bundle": bundle, "written": written})
    else:
        say("\n".join(written))


def formats_of(onnx: bool, pt2: bool) -> list[str]:
    """Return the formats that the flags ask for, by name."""
    return [name for name, wanted in (("onnx", onnx), ("pt2", pt2)) if wanted]


def convert_bundle(bundle: str, formats: list[str], folder: Storage) -> list[str]:
    """Write a bundle's generator in some formats into a folder; return the paths of the files.

    Raises:
        InputError: there is no bundle, a package is missing, or the folder cannot be written.
        Failed: the generator cannot be expressed in one of them.
    """
    from gan.bundle.bundle import load_bundle
    from gan.bundle.portable import ConversionFailed, require
    from gan.bundle.portable import convert as converted
    from gan.storage.storage import writing

    require(formats)
    try:
        files = converted(load_bundle(bundle), formats)
    except ConversionFailed as error:
        raise Failed(str(error)) from None
    with writing(folder.uri):
        for name, content in files.items():
            folder.write_bytes(name, content)
    return [f"{folder.uri}/{name}" for name in files]

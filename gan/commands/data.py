"""`data pack` and `data info`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gan.commands import options as opt
from gan.errors import InputError
from gan.terminal import Interrupted, command_line, emit, packing_progress, say, table, warn

if TYPE_CHECKING:
    from gan.data.dataset import DataSet

app = typer.Typer(
    help="Images, packed once for training.\n\nExample: gan-search data info faces --size 32",
    short_help="Images, packed once for training.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

SHOWN_SKIPPED = 5


@app.command("pack")
def pack_data(
    source: Annotated[str, typer.Argument(metavar="SRC", help="a folder of images, or celeba:ZIP, mnist:DIR, …")],
    destination: Annotated[str, typer.Argument(metavar="DST", help="the file to write; local, s3:// or gs://")],
    size: opt.Size = None,
    crop: opt.Crop = None,
    processes: Annotated[
        int | None, opt.whole_number(help="processes that read images; default: one per core", low=1, high=256)
    ] = None,
    json: opt.Json = False,
) -> None:
    """Crop and resize images once, into one file that trainings map into memory.

    The same command goes on where a packing was interrupted. Behind SRC, ?limit=N takes N images.

    \b
    Examples:
      gan-search data pack ~/photos photos.arrow --size 64
      gan-search data pack 'celeba:img_align_celeba.zip?limit=40000' faces.arrow \\
          --size 64 --crop center-148
    """
    from gan.data.dataset import describe
    from gan.data.packed.packing import pack
    from gan.data.sources.opening import open_source

    if source.startswith("packed:"):
        raise InputError(f"{source}: is packed already; pack the images that it was made of")
    path = destination.removeprefix("packed:")
    origin = open_source(opt.as_uri(source), size, crop)
    try:
        with packing_progress(quiet=json) as progress:
            data = pack(origin, path, progress, processes)
    except KeyboardInterrupt:
        raise Interrupted(f"to go on: {command_line()}") from None
    _warn_of_skipped(data)
    if json:
        emit(describe(data))
    else:
        say(f"{len(data.train) + len(data.held_out):,} images in {path}: use it with --data {data.uri}")


@app.command("info")
def show_info(
    uri: Annotated[str, typer.Argument(metavar="URI", help="faces, mnist:DIR, folder:DIR, packed:URI, …")],
    size: opt.Size = None,
    crop: opt.Crop = None,
    json: opt.Json = False,
) -> None:
    """Show what a data set holds.

    Example: gan-search data info packed:photos.arrow
    """
    from gan.data.dataset import describe
    from gan.data.packed.opening import open_data

    with packing_progress(quiet=json) as progress:
        data = open_data(opt.as_uri(uri), size, crop=crop, progress=progress)
    described = describe(data)
    if json:
        emit(described)
    else:
        say(table([(name, _text(value)) for name, value in described.items()]))


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "-" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def _warn_of_skipped(data: DataSet) -> None:
    if data.skipped:
        names = "; ".join(data.skipped_names[:SHOWN_SKIPPED]) + ("; …" if data.skipped > SHOWN_SKIPPED else "")
        warn(f"{data.skipped} file{'' if data.skipped == 1 else 's'} could not be read: {names}")

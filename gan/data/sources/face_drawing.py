"""Draws the faces of `gan.data.sources.faces`: attributes in, uint8 images out.

Every shape is a signed distance in head coordinates, which is turned into the covered share of each pixel.
Edges are therefore smooth at any size, without drawing larger and shrinking. In head coordinates, u points
to the right and v down, both turned with the head, with the origin at its centre. The frame is 2 wide and
2 high.

Planes are float32 [rows, columns, faces]. Faces are the innermost axis, so that every NumPy loop is long and
contiguous although each face has its own numbers. Faces are drawn in bands of rows, so that planes stay in
cache. Pixels are computed only with + - * / sqrt, min, max and rounding, which IEEE 754 makes exact: a face
has the same bytes on every machine and in every batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Looks = Mapping[str, npt.NDArray[np.generic]]

BATCH = 128  # Faces drawn together.
BAND = 512  # Pixels of each face drawn together: 256 KB a plane.

EYE_LEVEL = -0.04
MAX_SHIFT, MAX_SLOPE = 0.09, 0.2  # Bounds of the pose, used only to place windows.


# ---- tables of colours, as sRGB in [0, 1], and of hair cuts

SKIN = ((0.34, 0.21, 0.15), (0.52, 0.33, 0.23), (0.72, 0.50, 0.36), (0.87, 0.66, 0.51), (0.98, 0.84, 0.74))

HAIR_COLOURS = {
    "black": (0.12, 0.10, 0.12),
    "dark brown": (0.27, 0.16, 0.10),
    "brown": (0.45, 0.28, 0.16),
    "auburn": (0.55, 0.21, 0.10),
    "ginger": (0.83, 0.42, 0.14),
    "blond": (0.86, 0.69, 0.40),
    "grey": (0.62, 0.62, 0.65),
    "white": (0.92, 0.91, 0.89),
    "blue": (0.22, 0.38, 0.78),
    "pink": (0.90, 0.40, 0.62),
}

EYE_COLOURS = {
    "brown": (0.36, 0.20, 0.10),
    "hazel": (0.52, 0.38, 0.14),
    "green": (0.22, 0.50, 0.26),
    "blue": (0.16, 0.42, 0.78),
    "grey": (0.42, 0.50, 0.58),
}

BEARDS = {"none": 0.0, "stubble": 0.3, "full": 0.95}  # Opacity.

FRAME_COLOURS = ((0.10, 0.10, 0.12), (0.55, 0.12, 0.12), (0.78, 0.62, 0.22), (0.16, 0.26, 0.55))


@dataclass(frozen=True)
class Cut:
    """A hair cut: the outline of all hair, and the hairline below which the face shows.

    Attributes:
        width, top: of the outline, relative to the head's half width and half height.
        line: height of the hairline at its highest point, relative to the head's half height.
        bend: how steeply the hairline falls to the sides of its highest point.
        end: height at which the hair is cut off.
        drop: how far the outline's sides fall straight down.
        part: how far the parting moves with `hair_part`.
        curls: how bumpy the outline is.
        bun: radius of a bun on top.
    """

    width: float
    top: float
    line: float
    bend: float
    end: float = 0.05
    drop: float = 0.0
    part: float = 0.0
    curls: float = 0.0
    bun: float = 0.0


CUTS = {
    "bald": Cut(0.01, 0.01, -3.0, 0.0),
    "buzz": Cut(1.01, 1.03, -0.55, 0.5, end=-0.05),
    "short": Cut(1.06, 1.13, -0.52, 0.75, part=0.1),
    "fringe": Cut(1.09, 1.16, -0.34, 0.4, end=0.15),
    "side part": Cut(1.09, 1.18, -0.66, 0.95, part=0.36),
    "bald top": Cut(1.10, 1.00, -1.12, 3.2, end=0.1),
    "mohawk": Cut(0.36, 1.36, -0.45, 0.0),
    "curly": Cut(1.30, 1.28, -0.44, 0.8, end=0.3, curls=0.045),
    "bun": Cut(1.04, 1.10, -0.64, 1.3, bun=0.17),
    "bob": Cut(1.22, 1.17, -0.36, 1.6, end=0.5, drop=0.3),
    "long": Cut(1.22, 1.17, -0.68, 2.2, end=3.0, drop=0.95, part=0.15),
    "long curls": Cut(1.28, 1.20, -0.58, 2.0, end=0.95, drop=0.65, part=0.1, curls=0.045),
}


# ---- the attributes of each face, as one number or colour a face


class Face:
    """The attributes of a batch of faces, as float32 [faces], and the colours that follow from them."""

    def __init__(self, looks: Looks) -> None:
        self._numbers = {name: values.astype(np.float32) for name, values in looks.items()}
        self.scale = self["face_height"] / np.float32(0.7)  # Long faces have their features further apart.
        cuts = np.array([astuple(cut) for cut in CUTS.values()], np.float32)
        cut = cuts[looks["hair_style"].astype(np.intp)].T
        self.hair_width, self.hair_top, self.hair_line, self.hair_bend = cut[:4]
        self.hair_end, self.hair_drop, self.hair_part, self.hair_curls, self.hair_bun = cut[4:]
        self.beard = looks["beard"].astype(np.intp)
        tone = self["skin"] * np.float32(len(SKIN) - 1)
        self.skin = _ramp(SKIN, tone)
        self.skin[0] += self["warmth"] * 8
        self.skin[2] -= self["warmth"] * 10
        self.hair = _pick(tuple(HAIR_COLOURS.values()), looks["hair_colour"])
        self.iris = _pick(tuple(EYE_COLOURS.values()), looks["eye_colour"])
        self.lips = self.skin * np.float32(0.72) + _colour(120, 20, 36) * (0.25 + 0.3 * self["lip_redness"])
        self.clothes = _hue(self["clothes_hue"], np.float32(0.55), self["clothes_lightness"])
        self.frames = _ramp(FRAME_COLOURS, self["frame_colour"] * np.float32(len(FRAME_COLOURS) - 1))

    def __getitem__(self, name: str) -> Array:
        return self._numbers[name]


def _colour(red: float, green: float, blue: float) -> Array:
    return np.array((red, green, blue), np.float32).reshape(3, 1, 1, 1)


def _pick(table: tuple[tuple[float, float, float], ...], chosen: npt.NDArray[np.generic]) -> Array:
    colours = np.array(table, np.float32).T * np.float32(255)
    return colours[:, chosen.astype(np.intp)][:, None, None, :]


def _ramp(table: tuple[tuple[float, float, float], ...], place: Array) -> Array:
    """Interpolate the entries of `table` at `place` in [0, len - 1]."""
    lower = np.minimum(place.astype(np.intp), len(table) - 2)
    start, end = _pick(table, lower), _pick(table, lower + 1)
    return start + (end - start) * (place - lower.astype(np.float32))


def _hue(hue: Array, saturation: Array | np.float32, lightness: Array) -> Array:
    """Return colours of a hue in [0, 1) as sRGB [0, 255] [3, 1, 1, faces]: HSV with `lightness` as its value."""
    turns = np.stack([hue, hue + np.float32(2 / 3), hue + np.float32(1 / 3)])
    wheel = np.clip(np.abs((turns - np.floor(turns)) * 6 - 3) - 1, 0, 1)
    colours: Array = lightness * 255 * (1 - saturation * (1 - wheel))
    return colours[:, None, None, :]


# ---- the sheet that is painted on


@dataclass(frozen=True)
class Sheet:
    """A rectangle of the frame of every face: the coordinates of its pixels, and their colours so far.

    Attributes:
        rgb: [3, rows, columns, faces] in [0, 255].
        x, y: frame coordinates of the columns [columns, 1] and the rows [rows, 1, 1].
        u, v: head coordinates of the pixels.
        pixel: side length of a pixel.
    """

    rgb: Array
    x: Array
    y: Array
    u: Array
    v: Array
    pixel: np.float32

    def window(self, left: float, right: float, top: float, bottom: float) -> Sheet:
        """Return the part of the sheet that this rectangle of head coordinates can reach in any pose."""
        across = MAX_SLOPE * max(abs(top), abs(bottom)) + MAX_SHIFT + self.pixel
        down = MAX_SLOPE * max(abs(left), abs(right)) + MAX_SHIFT + self.pixel
        columns = slice(*np.searchsorted(self.x[:, 0], (left - across, right + across)))
        rows = slice(*np.searchsorted(self.y[:, 0, 0], (top - down, bottom + down)))
        return Sheet(
            self.rgb[:, rows, columns],
            self.x[columns],
            self.y[rows],
            self.u[rows, columns],
            self.v[rows, columns],
            self.pixel,
        )

    def cover(self, distance: Array) -> Array:
        """Turn signed distances (negative inside) into the covered share of each pixel, in place."""
        distance *= -1 / self.pixel
        distance += np.float32(0.5)
        return np.clip(distance, 0, 1, out=distance)  # One pass; minimum and maximum take four times as long.

    def stroke(self, distance: Array, half: Array | np.float32) -> Array:
        """Return the cover of a line of half width `half` along the zeros of `distance`, in place."""
        np.abs(distance, out=distance)
        distance -= half
        # A line thinner than a pixel never covers a whole pixel.
        return np.minimum(self.cover(distance), 2 * half / self.pixel, out=distance)

    def blend(self, cover: Array, colour: Array) -> None:
        """Paint `colour` over the sheet with the opacity `cover`."""
        change = colour - self.rgb
        change *= cover
        np.add(self.rgb, change, out=self.rgb)


def _sheet(face: Face, size: int, rows: slice) -> Sheet:
    places = ((np.arange(size, dtype=np.float32) + np.float32(0.5)) * np.float32(2 / size) - 1)[:, None]
    x, y = places, places[rows, None]
    # The tangent of half the roll gives sine and cosine by exact arithmetic alone.
    half = face["roll"] * np.float32(0.5)
    cosine, sine = (1 - half * half) / (1 + half * half), 2 * half / (1 + half * half)
    across, down = x - face["shift_x"], y - face["shift_y"]
    u = across * cosine + down * sine
    v = down * cosine - across * sine
    rgb = np.empty((3, *u.shape), np.float32)
    return Sheet(rgb, x, y, u, v, np.float32(2 / size))


def _ellipse(u: Array, v: Array, width: Array | np.float32, height: Array | np.float32) -> Array:
    """Return approximately the signed distance to an ellipse; the mean slope along its edge is exact.

    Overwrites `u` and `v`.
    """
    u *= 1 / width
    u *= u
    v *= 1 / height
    v *= v
    u += v
    u -= 1
    u *= np.sqrt(width * height) * np.float32(0.5)
    return u


# ---- the parts of a face, back to front


def _background(sheet: Sheet, face: Face) -> None:
    colour = _hue(face["background_hue"], face["background_saturation"], face["background_lightness"])
    light = sheet.x * face["gradient_x"] + sheet.y * face["gradient_y"]
    light += 1
    np.clip(colour * light, 0, 255, out=sheet.rgb)


def _hair_outline(sheet: Sheet, face: Face) -> Array:
    """Return the cover of all hair, behind and in front of the head."""
    width = face["face_width"] * face.hair_width * (1 + np.float32(0.08) * face["hair_volume"])
    height = face["face_height"] * face.hair_top * (1 + np.float32(0.06) * face["hair_volume"])
    u, v = sheet.u.copy(), sheet.v + np.float32(0.04)
    v -= np.clip(v, 0, face.hair_drop)
    distance = _ellipse(u, v, width, height)
    np.maximum(distance, sheet.v - face.hair_end, out=distance)
    distance += _curls(sheet, face)
    return sheet.cover(distance)


def _curls(sheet: Sheet, face: Face) -> Array:
    """Return round bumps on a lattice that turns with the head, as lengths."""
    bumps = _wave(sheet.u * np.float32(3.6))
    bumps *= _wave(sheet.v * np.float32(3.6))
    bumps *= face.hair_curls
    return bumps


def _wave(phase: Array) -> Array:
    """Return a smooth wave of period 1 in [-1, 1], made of parabolas, in place."""
    phase -= np.rint(phase)
    phase *= 8 - 16 * np.abs(phase)
    return phase


def _body(sheet: Sheet, face: Face) -> None:
    low = sheet.window(-1.3, 1.3, 0.4, 1.3)
    neck = np.abs(low.u)
    neck -= face["face_width"] * np.float32(0.5)
    np.maximum(neck, np.float32(0.45) - low.v, out=neck)
    low.blend(low.cover(neck), face.skin * np.float32(0.70))
    u, v = low.u.copy(), low.v - np.float32(1.30)
    low.blend(low.cover(_ellipse(u, v, face["shoulders"], np.float32(0.52))), face.clothes)


def _ears(sheet: Sheet, face: Face) -> None:
    middle = sheet.window(-0.75, 0.75, -0.25, 0.25)
    u = np.abs(middle.u)
    u -= face["face_width"]
    size = face["ear_size"]
    cover = middle.cover(_ellipse(u, middle.v - np.float32(0.02), size, size * np.float32(1.4)))
    middle.blend(cover, face.skin * np.float32(0.82))


def _head(sheet: Sheet, face: Face) -> None:
    inside = sheet.window(-0.65, 0.65, -0.8, 0.8)
    across = np.clip(inside.v, 0, 1)
    across *= face["jaw"]
    across += 1
    across *= inside.u
    cover = inside.cover(_ellipse(across, inside.v.copy(), face["face_width"], face["face_height"]))
    inside.blend(cover, face.skin * np.clip(_light(inside, face), 0.5, 1.05))
    _beard(inside, face, cover)


def _beard(inside: Sheet, face: Face, head: Array) -> None:
    """Draw hair on the lower part of the head, from under the nose up to the ears."""
    opaque = np.array(list(BEARDS.values()), np.float32)[face.beard]
    turned = inside.u - face["yaw"] * np.float32(0.5)
    turned *= turned
    turned *= np.float32(1.3)
    turned += inside.v
    turned -= np.float32(0.3) * face.scale + face["pitch"]
    turned *= np.float32(-1)
    cover = inside.cover(turned)
    cover *= head
    cover *= opaque
    inside.blend(cover, face.hair * np.float32(0.8))


def _light(sheet: Sheet, face: Face) -> Array:
    """Return the brightness of the round head: about 1 in its middle, less at the edges and in shadow."""
    strength = face["light_strength"]
    light = sheet.u * np.float32(-0.35)
    light += face["light_direction"] * strength
    light *= sheet.u
    fall = sheet.v * np.float32(-0.18)
    fall -= strength * np.float32(0.3)
    fall *= sheet.v
    light += fall
    light += np.float32(0.98)
    return light


def _blush(sheet: Sheet, face: Face) -> None:
    cheeks = sheet.window(-0.6, 0.6, 0.0, 0.45)
    beside, _, below = _features(cheeks, face, np.float32(0.24))
    beside -= np.float32(0.31)
    glow = _ellipse(beside, below, np.float32(0.15), np.float32(0.11))
    glow *= np.float32(-12)
    np.clip(glow, 0, 1, out=glow)
    glow *= face["blush"] * np.float32(0.6)
    cheeks.blend(glow, face.lips)


def _features(sheet: Sheet, face: Face, level: Array | np.float32) -> tuple[Array, Array, Array]:
    """Return coordinates that move with yaw and pitch: |u| from the middle, u, and v from `level`."""
    turned = sheet.u - face["yaw"]
    return np.abs(turned), turned, sheet.v - (level * face.scale + face["pitch"])


def _eyes(sheet: Sheet, face: Face) -> None:
    strip = sheet.window(-0.62, 0.62, -0.3, 0.22)
    outward, turned, down = _features(strip, face, np.float32(EYE_LEVEL))
    outward -= face["eye_spacing"]
    down += outward * face["eye_tilt"]
    width = face["eye_size"]
    height = width * face["eye_open"]
    lid = outward / width
    lid *= lid
    lid -= 1
    lid *= height  # Minus the half height of the almond at this place.
    almond = np.abs(down)
    almond += lid
    almond *= np.float32(0.8)  # The distance is less than the height, because lids slope.
    white = strip.cover(almond)
    strip.blend(white, _colour(250, 249, 246))
    _iris(strip, face, np.copysign(outward, outward * turned), down, white)
    lid -= down + np.float32(0.015)
    lash = strip.stroke(lid, np.float32(0.018))
    lash *= strip.cover(np.abs(outward) - width)
    strip.blend(lash, _colour(38, 24, 26))


def _iris(strip: Sheet, face: Face, across: Array, down: Array, white: Array) -> None:
    """Draw iris, pupil and a glint in both eyes; `across` is measured from each eye's middle to the right."""
    size = face["eye_size"] * np.float32(0.56)
    across -= face["gaze"] * face["eye_size"] * np.float32(0.35)
    ring = across * across
    ring += down * down
    np.sqrt(ring, out=ring)
    iris = strip.cover(ring - size)
    iris *= white
    strip.blend(iris, face.iris)
    pupil = strip.cover(ring - size * np.float32(0.5))
    pupil *= white
    strip.blend(pupil, _colour(16, 12, 16))
    across -= face["light_direction"] * np.float32(0.03)
    glint = np.maximum(np.abs(across), np.abs(down + np.float32(0.035)))
    shine = strip.cover(glint - np.float32(0.02))
    shine *= white
    strip.blend(shine, _colour(255, 255, 255))


def _brows(sheet: Sheet, face: Face) -> None:
    strip = sheet.window(-0.62, 0.62, -0.45, 0.05)
    outward, _, down = _features(strip, face, EYE_LEVEL - face["brow_height"])
    outward -= face["eye_spacing"]
    ends = np.abs(outward)
    ends -= face["eye_size"] * np.float32(1.05)
    arch = outward * outward
    arch *= np.float32(2.5)
    down += arch
    down += outward * face["brow_tilt"]
    cover = strip.stroke(down, face["brow_thickness"])
    cover *= strip.cover(ends)
    # Fair hair has darker brows, or they would vanish on fair skin.
    strip.blend(cover, face.hair * np.float32(0.62))


def _nose(sheet: Sheet, face: Face) -> None:
    middle = sheet.window(-0.3, 0.3, -0.15, 0.4)
    beside, turned, down = _features(middle, face, face["nose_length"])
    # The shadow of the bridge falls away from the light.
    side = np.where(face["light_direction"] > 0, np.float32(-1), np.float32(1)) * face["nose_width"]
    bridge = turned - side * np.float32(0.55)
    shadow = middle.stroke(bridge + down * side * np.float32(-1.2), np.float32(0.02))
    along = np.abs(down + np.float32(0.1))
    along -= np.float32(0.1)
    shadow *= middle.cover(along)
    shadow *= np.float32(0.25) + np.float32(0.5) * face["light_strength"]
    middle.blend(shadow, face.skin * np.float32(0.62))
    tip = _ellipse(turned.copy(), down + np.float32(0.035), face["nose_width"], face["nose_width"] * np.float32(0.7))
    ball = middle.cover(tip)
    ball *= np.float32(0.6)
    middle.blend(ball, np.minimum(face.skin * np.float32(1.12) + 6, 255))
    curve = beside * beside
    curve *= np.float32(-0.5) / face["nose_width"]
    curve -= down
    curve += np.float32(0.045)
    under = middle.stroke(curve, np.float32(0.018))
    beside -= face["nose_width"]
    under *= middle.cover(beside)
    middle.blend(under, face.skin * np.float32(0.5))


def _mouth(sheet: Sheet, face: Face) -> None:
    low = sheet.window(-0.45, 0.45, 0.15, 0.85)
    _, turned, down = _features(low, face, np.float32(0.43))
    shape = turned * (1 / face["mouth_width"])
    shape *= shape
    np.subtract(1, shape, out=shape)  # 1 in the middle, 0 at the corners.
    down -= shape * (face["mouth_curve"] * np.float32(0.10))
    # Below this threshold the mouth is shut.
    gape = np.maximum(face["mouth_open"] - np.float32(0.35), 0) * np.float32(0.16)
    away = np.abs(down)
    lips = low.cover(away - shape * (gape + face["lip_fullness"]))
    low.blend(lips, face.lips)
    ends = low.cover(np.abs(turned) - face["mouth_width"])
    inside = low.cover(away - shape * gape)
    inside *= ends
    inside *= np.minimum(gape * 40, 1)
    low.blend(inside, _colour(88, 22, 30))
    down += shape * (gape * np.float32(0.35))
    teeth = low.cover(down)
    teeth *= inside
    low.blend(teeth, _colour(248, 246, 240))
    line = low.stroke(away - shape * gape, np.float32(0.010))
    line *= ends
    low.blend(line, face.lips * np.float32(0.45))


def _front_hair(sheet: Sheet, face: Face, outline: Array) -> None:
    """Draw the hair in front of the head: its outline above the hairline, lit like the head."""
    line = sheet.u - face.hair_part * face["hair_part"]
    line *= line
    line *= -face.hair_bend
    line += sheet.v
    line -= (face.hair_line + np.float32(0.10) * face["hairline"]) * face["face_height"]
    line += _curls(sheet, face)
    cover = sheet.cover(line)
    cover *= outline
    light = _light(sheet, face)
    strands = sheet.v * np.float32(-2.5)  # Strands fan out downwards from the crown.
    strands += np.float32(2.5)
    strands *= sheet.u
    light += _wave(strands) * np.float32(0.07)
    light += np.float32(0.07)
    sheet.blend(cover, (face.hair + 8) * np.clip(light, 0.55, 1.15, out=light))


def _bun(sheet: Sheet, face: Face) -> None:
    top = sheet.window(-0.25, 0.25, -1.2, -0.6)
    radius = face.hair_bun
    down = top.v + face["face_height"] * np.float32(1.16)
    cover = top.cover(_ellipse(top.u.copy(), down, radius + np.float32(1e-3), radius + np.float32(1e-3)))
    cover *= radius > 0
    top.blend(cover, face.hair * np.float32(0.85))


def _glasses(sheet: Sheet, face: Face) -> None:
    strip = sheet.window(-0.66, 0.66, -0.34, 0.3)
    beside, _, down = _features(strip, face, np.float32(EYE_LEVEL + 0.01))
    outward = beside - face["eye_spacing"]
    radius = np.minimum(face["eye_size"] * np.float32(1.25), face["eye_spacing"] - np.float32(0.03))
    ring = _lens(outward, down, face["glasses_shape"])
    ring -= radius
    worn = face["glasses"]
    tint = strip.cover(ring.copy())
    tint *= worn * np.float32(0.16)
    strip.blend(tint, _colour(235, 245, 255))
    wire = strip.stroke(ring, np.float32(0.022))
    # One bar makes the bridge and the temples: it runs outside the lenses, as far as the ears.
    bar = strip.stroke(down + np.float32(0.02), np.float32(0.02))
    bar *= strip.cover(radius - np.abs(outward))
    bar *= strip.cover(np.abs(strip.u) - face["face_width"])
    np.maximum(wire, bar, out=wire)
    wire *= worn
    strip.blend(wire, face.frames)


def _lens(outward: Array, down: Array, squareness: Array) -> Array:
    """Return the distance from the middle of a lens, whose shape is between round (0) and square (1)."""
    square = np.maximum(np.abs(outward), np.abs(down) * np.float32(1.2))
    round_ = outward * outward
    round_ += down * down
    np.sqrt(round_, out=round_)
    square -= round_
    square *= squareness
    square += round_
    return square


# ---- whole faces


def _paint(sheet: Sheet, face: Face) -> None:
    _background(sheet, face)
    outline = _hair_outline(sheet, face)
    _bun(sheet, face)
    sheet.blend(outline, face.hair * np.float32(0.62))
    _body(sheet, face)
    _ears(sheet, face)
    _head(sheet, face)
    _blush(sheet, face)
    _nose(sheet, face)
    _mouth(sheet, face)
    _eyes(sheet, face)
    _front_hair(sheet, face, outline)
    _brows(sheet, face)
    _glasses(sheet, face)


def render(looks: Looks, size: int) -> npt.NDArray[np.uint8]:
    """Draw the faces with these attributes, arrays [faces] as `gan.data.sources.faces.attributes` returns them.

    Returns:
        uint8 images [faces, size, size, 3].
    """
    count = len(looks["skin"])
    images = np.empty((count, size, size, 3), np.uint8)
    rows = max(1, BAND // size)
    for start in range(0, count, BATCH):
        batch = slice(start, start + BATCH)
        face = Face({name: values[batch] for name, values in looks.items()})
        for top in range(0, size, rows):
            band = slice(top, min(top + rows, size))
            sheet = _sheet(face, size, band)
            _paint(sheet, face)
            np.clip(sheet.rgb, 0, 255, out=sheet.rgb)
            images[batch, band] = np.rint(sheet.rgb).astype(np.uint8).transpose(3, 1, 2, 0)
    return images

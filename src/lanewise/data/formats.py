"""What files are that people have among their images, though they are none that is read here."""

from __future__ import annotations

RAW = "a camera's raw file"

_FORMATS: tuple[tuple[str, tuple[bytes, ...], str], ...] = (
    ("a Photoshop file", (b"8BPS",), ".psd .psb"),
    ("a PDF document", (b"%PDF",), ".pdf"),
    ("an SVG drawing or other XML", (b"<svg", b"<?xml", b"\xef\xbb\xbf<"), ""),
    ("an SVG drawing", (), ".svg .svgz"),
    ("a web page, perhaps of an error", (b"<!DOC", b"<html", b"<!doc", b"<HTML"), ""),
    ("JSON, perhaps of an error", (b"{", b"["), ""),
    ("an icon", (b"\0\0\x01\0",), ".ico .cur .icns"),
    ("a JPEG 2000 image", (b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"), ".jp2 .j2k .jpx .jpf"),
    ("a JPEG XL image", (b"\xff\x0a", b"\0\0\0\x0cJXL "), ".jxl"),
    ("a NumPy array", (b"\x93NUMPY",), ".npy .npz"),
    ("an HDF5 file", (b"\x89HDF",), ".h5 .hdf5 .mat"),
    ("a DICOM file", (), ".dcm .dicom"),
    ("a NIfTI volume", (), ".nii"),
    ("an OpenEXR image", (b"v/1\x01",), ".exr"),
    ("a Radiance image", (b"#?RADIANCE", b"#?RGBE"), ".hdr"),
    ("a FITS file", (b"SIMPLE  =",), ".fits .fit"),
    ("an archive", (b"PK\x03\x04", b"Rar!", b"7z\xbc\xaf", b"\x1f\x8b"), ".zip .rar .7z .gz .tar .tgz"),
    (
        RAW,
        (b"FUJIFILMCCD-RAW", b"IIU\0", b"IIRO", b"IIRS", b"MMOR", b"\0MRM", b"FOVb"),
        ".cr2 .cr3 .nef .nrw .arw .dng .raf .rw2 .orf .pef .srw .raw",
    ),
    ("a PostScript drawing", (b"%!PS", b"\xc5\xd0\xd3\xc6"), ".eps .ps .ai"),
    ("a GIMP file", (b"gimp xcf",), ".xcf"),
    ("a Targa image", (), ".tga"),
    ("a DirectDraw surface", (b"DDS ",), ".dds"),
    ("a film or a sound", (b"\x1aE\xdf\xa3", b"RIFF", b"OggS"), ""),
    ("a film", (), ".mp4 .mov .avi .mkv .webm .m4v"),
)
"""What files are, how they begin, and what their names end in."""

_BY_SUFFIX = {suffix: name for name, _, suffixes in _FORMATS for suffix in suffixes.split()}


def named(start: bytes) -> str:
    """What a file is by its first 132 bytes, and what to do about it."""
    brand = start[8:12]
    if (kind := of_telephone(start)) is not None:
        return f'it is {kind} image: pip install "lanewise[heif]" reads it, or save it as JPEG'
    if start.startswith(b"version https://git-lfs"):
        return "it only points to an image that Git LFS keeps: git lfs pull fetches it"
    name = next((name for name, signs, _ in _FORMATS if start.lstrip(b" \t\r\n").startswith(signs)), None)
    name = next((name for name, signs, _ in _FORMATS if start.startswith(signs)), name)
    if start[4:8] == b"ftyp":
        name = RAW if brand[:3] == b"crx" else "a film"
    elif start[128:132] == b"DICM":
        name = "a DICOM file"
    elif is_raw(start):
        name = RAW
    return f"it is {name}: save it as PNG or JPEG" if name else "it is not an image in any known format"


def of_telephone(start: bytes) -> str | None:
    """Whether a file is "a HEIC" or "an AVIF" image: by its brand, or where that is common to both, by those after it.

    ISO/IEC 23008-12, section 10; the list of brands ends where the first four bytes say.
    """
    if start[4:8] != b"ftyp":
        return None
    brands = [start[place : place + 4] for place in (8, *range(16, min(int.from_bytes(start[:4]), len(start)) - 3, 4))]
    if brands[0] in (b"avif", b"avis"):
        return "an AVIF"
    if brands[0] in (b"mif1", b"msf1", b"mif2", b"miaf") and {b"avif", b"avis"} & set(brands):
        return "an AVIF"
    return "a HEIC" if brands[0][:3] in (b"hei", b"hev", b"mif", b"msf") else None


def is_raw(start: bytes) -> bool:
    """Whether a file that begins like TIFF is what a camera of Canon's wrote."""
    return start.startswith(b"II*\0") and start[8:10] == b"CR"


def named_by(suffix: str) -> str:
    """What a file is whose name ends so, and what to do about it."""
    name = _BY_SUFFIX.get(suffix.lower())
    if name is not None:
        return f"it is {name}: save it as PNG or JPEG"
    return f"{suffix} is not a known image format" if suffix else "its name has no suffix"

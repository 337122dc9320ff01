"""What was written there in few files that are not large, and here in a folder again.

Zip files, of which each holds whole files, so that one that is lost takes no other with it. Left
out are locks, checkpoints, and the arrays of cases at D2L's sizes: hundreds of MB, which are judged
there and come back as their hashes.
"""

import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from common.errors import BadInput
from common.storage.files import check_folder, make_folder, replace_folder, write_atomically
from common.storage.reading import read_json
from common.storage.sums import lines, sums_of
from conformance.gpu.carry_out import STAGES
from conformance.gpu.members import CHECKPOINT

PARCELS = {
    "measured": ("stages", "logs", "rates", "modes", "speed"),
    "ladder": ("ladder", "halves", "large"),
    "members": ("members",),
    "runs": ("runs",),
}
"""Which folders go into which file; one that would be too large goes on in another."""

SHARES = {"measured": 1, "ladder": 3, "members": 1, "runs": 3}
"""How many files each may take, of eight that come back."""

LARGE, SUMS = "large", "SHA256SUMS"
MIB = 2**20
LARGEST_UNPACKED = 1024 * MIB


def pack(out: Path, into: Path, limits: Mapping[str, int]) -> list[str]:
    """Write what lies in ``out`` into ``into``, parcel by parcel; what has not changed since stays.
    Returns what does not fit, a line for each file.

    limits: ``file_mib`` of each; SHARES are ``files`` in all
    """
    make_folder(into)
    hash_the_large(out)
    left_out: list[str] = []
    for name, folders in PARCELS.items():
        paths = [path for folder in folders for path in inside(out / folder, out)]
        old = sorted(into.glob(f"{name}-*.zip"))
        if not paths or (old and max(map(changed, paths)) < min(map(changed, old))):
            continue
        for path in old:
            path.unlink()
        most, largest = SHARES[name], limits["file_mib"] * MIB
        left_out += write_parcel(name, paths, out, into, most, largest)
    return left_out


def changed(path: Path) -> int:
    return path.stat().st_mtime_ns


def hash_the_large(out: Path) -> None:
    """The hashes of the arrays that stay behind, beside their record."""
    for record in sorted((out / LARGE).glob("*/*/record.json")):
        arrays = record.parent / "arrays"
        sums = record.parent / SUMS
        if not sums.exists() or changed(sums) < changed(record):
            text = lines(sums_of(arrays.rglob("*.safetensors"), record.parent))
            write_atomically(sums, lambda path, text=text: path.write_text(text, encoding="utf-8"))


def inside(folder: Path, out: Path) -> Iterator[Path]:
    """The files of a folder that come back."""
    for path in sorted(folder.rglob("*")):
        large = folder == out / LARGE and path.suffix == ".safetensors"
        passing = path.suffix in (".lock", ".tmp") or path.name == CHECKPOINT
        if path.is_file() and not path.is_symlink() and not large and not passing:
            yield path


def write_parcel(
    name: str, paths: list[Path], out: Path, into: Path, most: int, largest: int
) -> list[str]:
    """Zip files of at most that size, as many as it takes and may be; what is left out."""
    left_out: list[str] = []
    number, waiting = 1, paths
    while waiting and number <= most:
        rest: list[Path] = []

        def fill(temporary: Path, waiting: list[Path] = waiting, rest: list[Path] = rest) -> None:
            with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as file:
                end = 0  # every entry has a header here and one at the end
                for path in waiting:
                    called = path.relative_to(out).as_posix()
                    header = 2 * len(called.encode()) + 256
                    packed = len_deflated(path)
                    if end + packed + header > largest - MIB // 16:
                        rest.append(path)
                        continue
                    file.write(path, called)
                    end += packed + header

        write_atomically(into / f"{name}-{number}.zip", fill)
        if len(rest) == len(waiting):  # none fits into an empty one
            (into / f"{name}-{number}.zip").unlink()
            break
        number, waiting = number + 1, rest
    left_out += [f"{path.relative_to(out)}: {path.stat().st_size} bytes" for path in waiting]
    return left_out


def zip_of(out: Path, folders: list[str], path: Path) -> None:
    """One zip file of some folders."""

    def fill(temporary: Path) -> None:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as file:
            for folder in folders:
                for each in inside(out / folder, out):
                    file.write(each, each.relative_to(out).as_posix())

    write_atomically(path, fill)


def len_deflated(path: Path) -> int:
    """How many bytes a file takes in a zip file, as it is compressed there."""
    squeezer, total = zlib.compressobj(wbits=-15), 0
    with open(path, "rb") as file:
        while part := file.read(MIB):
            total += len(squeezer.compress(part))
    return total + len(squeezer.flush())


def unpack(folder: Path, out: Path) -> list[str]:
    """Unpack the zip files of a folder into ``out``, over what an earlier call gave; returns the
    stages in it. BadInput, and nothing is written, if a file is no such zip file, or names
    something outside."""
    check_folder(folder, "a folder of what a GPU gave")
    paths = sorted(folder.glob("*.zip"))
    if not paths:
        raise BadInput(folder, "", "zip files that gpu run packed", "none")
    partial, old = out.with_name(f".{out.name}.partial"), out.with_name(f".{out.name}.old")
    if partial.exists():
        shutil.rmtree(partial)
    make_folder(partial)
    try:
        for path in paths:
            unpack_one(path, partial)
        if out.exists():
            add_missing(out, partial)
        stages = sorted(p.stem for p in (partial / STAGES).glob("*.json"))
        for stage in stages:
            read_json(partial / STAGES / f"{stage}.json")
    except BaseException:
        shutil.rmtree(partial)
        raise
    replace_folder(partial, out, old)
    return stages


def add_missing(old: Path, new: Path) -> None:
    """Copy what an earlier call gave and this one did not."""
    for path in sorted(old.rglob("*")):
        target = new / path.relative_to(old)
        if path.is_file() and not path.is_symlink() and not target.exists():
            make_folder(target.parent)
            shutil.copyfile(path, target)


def unpack_one(path: Path, out: Path) -> None:
    try:
        with zipfile.ZipFile(path) as file:
            entries = file.infolist()
            if sum(entry.file_size for entry in entries) > LARGEST_UNPACKED:
                raise BadInput(path, "", f"at most {LARGEST_UNPACKED} bytes unpacked", "more")
            for entry in entries:
                check_entry(path, entry)
                target = out / entry.filename
                if target.exists():
                    raise BadInput(path, entry.filename, "a file that is packed once", "it again")
                file.extract(entry, out)
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError) as error:
        raise BadInput(path, "", "a zip file that gpu run packed", error) from None


def check_entry(path: Path, entry: zipfile.ZipInfo) -> None:
    """BadInput unless an entry is a plain file inside of a parcel's folder."""
    name = PurePosixPath(entry.filename)
    known = {folder for folders in PARCELS.values() for folder in folders}
    plain = not stat.S_IFMT(entry.external_attr >> 16) or stat.S_ISREG(entry.external_attr >> 16)
    wrong = name.is_absolute() or ".." in name.parts or "\\" in entry.filename or entry.is_dir()
    if wrong or not plain or name.parts[0] not in known:
        raise BadInput(path, "", f"files below {', '.join(sorted(known))}", repr(entry.filename))

"""Compare the network on the board with labels, with expected integers, or with both.

python validate.py                                   the example that came with the build
python validate.py --data set.npz                    arrays images, and labels or expected
python validate.py --images x.npy --labels y.npy --expected logits.npy

Exit status 1 if any result differs from what is expected.
"""

import argparse
import sys
import zipfile
from typing import Dict, Optional, Sequence

import numpy as np
from driver import BATCH, ERRORS, DriverError, HwgenOverlay, positive, read_array, report
from packing import HERE

NAMES = ("images", "labels", "expected")


def collect(args: argparse.Namespace) -> Dict[str, np.ndarray]:
    """The arrays that the command line names."""
    found: Dict[str, np.ndarray] = {}
    if args.data:
        try:
            with zipfile.ZipFile(args.data):  # np.load would take other files too
                archive = np.load(args.data, allow_pickle=False)
            with archive:
                found = {name: archive[name] for name in NAMES if name in archive.files}
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise DriverError(f"{args.data} cannot be read as .npz: {error}") from error
    for name in NAMES:
        if getattr(args, name):
            found[name] = read_array(getattr(args, name))
    if not found:
        example = {"images": "example_input.npy", "expected": "example_expected.npy"}
        files = {name: HERE / file for name, file in example.items()}
        found = {name: read_array(str(file)) for name, file in files.items() if file.is_file()}
    if "images" not in found or len(found) == 1:
        raise DriverError("give images, and labels or expected (see --help)")
    for name in NAMES[1:]:
        if name in found and len(found[name]) != len(found["images"]):
            raise DriverError(f"{len(found['images'])} images but {len(found[name])} of {name}")
    return found


def classes(results: np.ndarray, chosen: bool) -> np.ndarray:
    """The class of every image; ``chosen`` says that the network chooses the best itself."""
    flat = results.reshape(len(results), int(np.prod(results.shape[1:])))
    return flat[:, 0] if chosen else flat.argmax(axis=1)


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="validate the network on the board")
    parser.add_argument("--data", help="an .npz with images, labels, expected")
    parser.add_argument("--images", help="an .npy: floats (N, C, H, W) or integers (N, H, W, C)")
    parser.add_argument("--labels", help="an .npy: the class of every image")
    parser.add_argument("--expected", help="an .npy: the integers that the network should return")
    parser.add_argument("--bitfile", help="the bitstream, with its .hwh beside it")
    parser.add_argument("--batchsize", type=positive, default=BATCH, help="frames a transfer")
    args = parser.parse_args(arguments)
    try:
        data = collect(args)
        with HwgenOverlay(args.bitfile, batchsize=args.batchsize) as network:
            results = network.execute(data["images"])
    except ERRORS as error:
        return report(error)
    except KeyboardInterrupt:
        return 130
    if "labels" in data:
        chosen = classes(results, network.design.classes)
        right = int((chosen == data["labels"].reshape(-1)).sum())
        print(f"accuracy: {right} of {len(results)} = {100 * right / max(len(results), 1):.2f} %")
    if "expected" not in data:
        return 0
    size = network.design.output.elements
    flat = results.reshape(len(results), size)
    wanted = data["expected"].reshape(len(results), -1) if len(results) else flat
    if wanted.shape != flat.shape:
        return report(DriverError(f"{flat.shape[1]} integers a result, {wanted.shape[1]} expected"))
    wrong = np.flatnonzero((flat != wanted).any(axis=1))
    print(f"equal to the expected integers: {len(flat) - len(wrong)} of {len(flat)}")
    if len(wrong):
        i = wrong[0]
        print(f"image {i}: {flat[i].tolist()}, expected {wanted[i].tolist()}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""One pass over a folder by torchvision's ImageFolder and a DataLoader, if these are there; see `benchmarks.files`."""

from __future__ import annotations

import json
import sys
import time

import torch  # type: ignore[import-not-found, unused-ignore]


def read(folder: str, workers: int) -> dict[str, float]:
    """Read all images once in random order, in batches of 128."""
    began = time.perf_counter()
    # ImageFolder needs none of torchvision's operators, but importing it fails where they are of another PyTorch.
    torch.library.register_fake = lambda *_, **__: lambda function: function
    from torchvision.datasets import ImageFolder  # type: ignore[import-not-found, unused-ignore]
    from torchvision.transforms import PILToTensor  # type: ignore[import-not-found, unused-ignore]

    torch.set_num_threads(1)
    images = ImageFolder(folder, PILToTensor())
    loader = torch.utils.data.DataLoader(images, batch_size=128, shuffle=True, num_workers=workers)
    ready = total = 0.0
    for batch, _ in loader:
        total += float(batch[:, 0, 0, 0].sum())
        ready = ready or time.perf_counter() - began
    return {"ready": ready, "seconds": time.perf_counter() - began, "sum": total}


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    print(json.dumps(read(asked["folder"], asked["workers"])))

"""Classifiers of torchvision and timm as ONNX files, by both of PyTorch's exporters; run where PyTorch is installed.

    python foreign_export.py FOLDER [NET ...]

Weights are random, and each batch normalisation gets statistics that a trained one could have: with those of a new
network, 0 and 1, a reader that mixed them up would go unnoticed. The last layer's are scaled so that classes differ.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from pathlib import Path
from typing import Any

import torch  # type: ignore[import-not-found, unused-ignore]

NETS = {
    "resnet18": ("torchvision", 224),
    "resnet50": ("torchvision", 224),
    "vgg11_bn": ("torchvision", 224),
    "squeezenet1_1": ("torchvision", 224),
    "densenet121": ("torchvision", 224),
    "mobilenet_v2": ("torchvision", 224),
    "mobilenet_v3_small": ("torchvision", 224),
    "mobilenet_v3_large": ("torchvision", 224),
    "efficientnet_b0": ("torchvision", 224),
    "efficientnet_lite0": ("timm", 224),
    "regnet_x_400mf": ("torchvision", 224),
    "regnet_y_400mf": ("torchvision", 224),
    "shufflenet_v2_x1_0": ("torchvision", 224),
    "mnasnet1_0": ("torchvision", 224),
    "convnext_tiny": ("torchvision", 224),
    "inception_v3": ("torchvision", 299),
}
"""The nets, whose library each is of, and the rows and columns of its images."""


def made(name: str) -> torch.nn.Module:
    """The net called `name`, with random weights, ready to predict."""
    library, _ = NETS[name]
    torch.manual_seed(0)
    if library == "timm":
        net = importlib.import_module("timm").create_model(name)
    else:
        options: dict[str, Any] = {"init_weights": False} if name == "inception_v3" else {}
        net = getattr(importlib.import_module("torchvision").models, name)(weights=None, **options)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)
            torch.nn.init.uniform_(module.running_var, 0.6, 1.6)
            torch.nn.init.uniform_(module.weight, 0.6, 1.4)
            torch.nn.init.uniform_(module.bias, -0.2, 0.2)
        elif getattr(module, "bias", None) is not None:  # those that are 0 are left out by the exporter
            torch.nn.init.uniform_(module.bias, -0.2, 0.2)
        elif hasattr(module, "layer_scale"):  # of ConvNeXt: it starts at 1e-6, where no block does anything
            torch.nn.init.uniform_(module.layer_scale, 0.3, 0.7)
    net.eval()
    last = [one for one in net.modules() if isinstance(one, torch.nn.Conv2d | torch.nn.Linear)][-1]
    with torch.no_grad():
        last.weight *= 3 / net(image_for(name)).std()
    return net


def image_for(name: str) -> torch.Tensor:
    """An image of the size that a net takes."""
    size = NETS[name][1]
    return torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(1))


def export(name: str, folder: Path) -> None:
    """Write `name` as FOLDER/NAME.legacy.onnx and FOLDER/NAME.dynamo.onnx, and beside the latter its weights."""
    net, image = made(name), image_for(name)
    torch.onnx.export(
        net,
        (image,),
        folder / f"{name}.legacy.onnx",
        dynamo=False,
        opset_version=17,
        input_names=["input"],
        dynamic_axes={"input": {0: "batch"}},
    )
    images = torch.export.Dim("batch")
    torch.onnx.export(
        net, (torch.cat([image, image]),), folder / f"{name}.dynamo.onnx", dynamo=True, dynamic_shapes=({0: images},)
    )


def main(folder: Path, names: list[str]) -> None:
    """Export all nets, or those named; one that fails is said and passed over."""
    warnings.simplefilter("ignore")
    # torchvision's kernels are built for another PyTorch where that is the one for CPUs; classifiers need none of them.
    for kernel in ("nms", "qnms"):
        torch.library.define(f"torchvision::{kernel}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    folder.mkdir(parents=True, exist_ok=True)
    for name in names or NETS:
        try:
            export(name, folder)
        except Exception as error:
            print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
        print(name, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])

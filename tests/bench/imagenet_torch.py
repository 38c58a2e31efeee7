"""The networks of ``imagenet`` as torch modules; their input is (batch, channels, height, width), they give logits."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from tests.bench.imagenet import MOBILENET_V1, MOBILENET_V2, NUM_CLASSES, RESNET50, VGG16


def network(name: str, side: int) -> nn.Module:
    """One of "vgg16", "resnet50", "mobilenetv1" and "mobilenetv2", ready to infer on ``side`` x ``side`` pixels."""
    torch.manual_seed(0)
    build = {"vgg16": lambda: vgg16(side), "resnet50": resnet50, "mobilenetv1": mobilenetv1, "mobilenetv2": mobilenetv2}
    return build[name]().eval()


def vgg16(side: int) -> nn.Module:
    layers: list[nn.Module] = []
    channels = 3
    for filters, count in VGG16:
        for _ in range(count):
            layers += [nn.Conv2d(channels, filters, 3, padding=1), nn.ReLU(inplace=True)]
            channels = filters
        layers.append(nn.MaxPool2d(2))
    layers.append(nn.Flatten())
    features = 512 * (side // 32) ** 2
    for _ in range(2):
        layers += [nn.Linear(features, 4096), nn.ReLU(inplace=True)]
        features = 4096
    return nn.Sequential(*layers, nn.Linear(4096, NUM_CLASSES))


def resnet50() -> nn.Module:
    layers = [*normalized(3, 64, 7, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    channels = 64
    for filters, count, stride in RESNET50:
        for index in range(count):
            main = [*normalized(channels, filters, 1), nn.ReLU(inplace=True)]
            main += [*normalized(filters, filters, 3, stride if index == 0 else 1), nn.ReLU(inplace=True)]
            main += normalized(filters, 4 * filters, 1)
            short = normalized(channels, 4 * filters, 1, stride) if index == 0 else []
            layers.append(Residual(main, short, nn.ReLU(inplace=True)))
            channels = 4 * filters
    return nn.Sequential(*layers, *head(channels))


def mobilenetv1() -> nn.Module:
    layers, channels = [*normalized(3, 32, 3, 2), nn.ReLU6(inplace=True)], 32
    for filters, stride in MOBILENET_V1:
        layers += [*normalized(channels, channels, 3, stride, channels), nn.ReLU6(inplace=True)]
        layers += [*normalized(channels, filters, 1), nn.ReLU6(inplace=True)]
        channels = filters
    return nn.Sequential(*layers, *head(channels))


def mobilenetv2() -> nn.Module:
    layers, channels = [*normalized(3, 32, 3, 2), nn.ReLU6(inplace=True)], 32
    for expansion, filters, count, first_stride in MOBILENET_V2:
        for index in range(count):
            stride, wide = first_stride if index == 0 else 1, expansion * channels
            main = [] if expansion == 1 else [*normalized(channels, wide, 1), nn.ReLU6(inplace=True)]
            main += [*normalized(wide, wide, 3, stride, wide), nn.ReLU6(inplace=True), *normalized(wide, filters, 1)]
            same = stride == 1 and channels == filters
            layers += [Residual(main, [], nn.Identity())] if same else main
            channels = filters
    return nn.Sequential(*layers, *normalized(channels, 1280, 1), nn.ReLU6(inplace=True), *head(1280))


class Residual(nn.Module):
    """``last(main(x) + short(x))``; an empty ``short`` is the identity."""

    def __init__(self, main: list[nn.Module], short: list[nn.Module], last: nn.Module):
        super().__init__()
        self.main, self.short, self.last = nn.Sequential(*main), nn.Sequential(*short), last

    def forward(self, x: Any) -> Any:
        return self.last(self.main(x) + self.short(x))


def normalized(inputs: int, outputs: int, size: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)
    return [convolution, nn.BatchNorm2d(outputs)]


def head(features: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(features, NUM_CLASSES)]

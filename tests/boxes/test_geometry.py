from __future__ import annotations

import math

import pytest
import torch
from torchvision.ops import box_iou

from resdet.boxes.anchors import CACHED_SHAPES, AnchorGenerator, anchor_shapes, grid_anchors, inside_mask
from resdet.boxes.coding import MAX_LOG_RATIO, decode, encode
from resdet.boxes.geometry import area, clip_boxes, pairwise_coverage, pairwise_iou

DEGENERATE = torch.tensor([[5.0, 5, 5, 5], [9, 9, 3, 3], [0, 0, 0, 7], [1e6, 1e6, 1e6, 1e6]])


def random_boxes(*shape: int, seed: int = 0, extent: float = 500.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(*shape, 2, generator=generator) * extent
    return torch.cat([corner, corner + 20 + torch.rand(*shape, 2, generator=generator) * extent], dim=-1)


def test_area_is_width_times_height_and_zero_for_inverted_boxes() -> None:
    assert area(torch.tensor([[1.0, 2, 4, 6], [4, 6, 1, 2], [4, 2, 1, 6]])).tolist() == [12, 0, 0]


def test_iou_equals_torchvision_in_every_batch_element() -> None:
    a, b = random_boxes(3, 7), random_boxes(3, 11, seed=1)
    ious = pairwise_iou(a, b)
    assert ious.shape == (3, 7, 11)
    for n in range(3):
        torch.testing.assert_close(ious[n], box_iou(a[n], b[n]), rtol=1e-6, atol=0)


def test_iou_broadcasts_anchors_over_images() -> None:
    assert pairwise_iou(random_boxes(3, 7), random_boxes(1, 11)).shape == (3, 7, 11)


def test_iou_of_degenerate_boxes_is_zero_with_finite_gradient() -> None:
    boxes = DEGENERATE.clone().requires_grad_()
    ious = pairwise_iou(boxes, boxes)
    assert (ious == 0).all()
    ious.sum().backward()
    assert boxes.grad is not None
    assert boxes.grad.isfinite().all()


def test_coverage_is_the_share_of_the_box_in_the_region() -> None:
    crowd, small = torch.tensor([[5.0, -50, 500, 50]]), torch.tensor([[0.0, 0, 10, 10]])
    assert pairwise_coverage(crowd, small).item() == 0.5
    assert pairwise_coverage(crowd, DEGENERATE).tolist() == [[0] * 4]


def test_a_large_matrix_is_computed_in_parts_with_the_same_bits() -> None:
    a, b = random_boxes(2, 40), random_boxes(2, 30_000, seed=1)
    together = pairwise_iou(a, b)
    assert torch.equal(together, torch.cat([pairwise_iou(a[:, i : i + 1], b) for i in range(40)], 1))
    a.requires_grad_()
    pairwise_iou(a, b).sum().backward()
    assert a.grad is not None
    assert a.grad.abs().sum() > 0


def test_clip_uses_the_size_of_each_image() -> None:
    boxes = torch.tensor([-5.0, -5, 900, 900]).expand(2, 3, 4)
    clipped = clip_boxes(boxes, torch.tensor([[100, 200], [300, 50]]))
    assert clipped[0].tolist() == [[0, 0, 200, 100]] * 3
    assert clipped[1].tolist() == [[0, 0, 50, 300]] * 3
    assert clip_boxes(boxes[:, :, None].expand(2, 3, 5, 4), torch.tensor([[100, 200], [300, 50]])).shape == (2, 3, 5, 4)
    assert clip_boxes(boxes[0], torch.tensor([100, 200])).tolist() == [[0, 0, 200, 100]] * 3


def test_box_arithmetic_is_float32_under_autocast_and_for_bf16() -> None:
    a, b = random_boxes(5), random_boxes(6, seed=1)
    expected = pairwise_iou(a, b), encode(a, b[:5]), decode(a / 500, b[:5])
    with torch.autocast("cpu", torch.bfloat16):
        for got, want in zip((pairwise_iou(a, b), encode(a, b[:5]), decode(a / 500, b[:5])), expected, strict=True):
            assert torch.equal(got, want)
    assert pairwise_iou(a.bfloat16(), b.bfloat16()).dtype == torch.float32
    assert decode(a.bfloat16(), b[:5]).dtype == torch.float32


def test_decode_undoes_encode() -> None:
    boxes, anchors = random_boxes(4, 50), random_boxes(4, 50, seed=1)
    weights = (10.0, 10.0, 5.0, 5.0)
    back = decode(encode(boxes, anchors, weights), anchors, weights)
    torch.testing.assert_close(back, boxes, rtol=0, atol=1e-3)


def test_encode_is_the_fast_rcnn_parametrisation() -> None:
    deltas = encode(torch.tensor([10.0, 20, 30, 60]), torch.tensor([0.0, 0, 10, 10]), (10, 10, 5, 5))
    torch.testing.assert_close(deltas, torch.tensor([15.0, 35, 5 * math.log(2), 5 * math.log(4)]))


def test_decode_bounds_growth_but_not_shrinking() -> None:
    anchor = torch.tensor([0.0, 0, 16, 16])
    grown = decode(torch.tensor([0.0, 0, 1e4, 1e4]), anchor)
    torch.testing.assert_close(grown[2:] - grown[:2], torch.full((2,), 16 * math.exp(MAX_LOG_RATIO)))
    assert decode(torch.tensor([0.0, 0, -1e4, -1e4]), anchor).tolist() == [8, 8, 8, 8]


def test_clamp_acts_after_the_weights() -> None:
    box = decode(torch.tensor([0.0, 0, 6, 6]), torch.tensor([0.0, 0, 10, 10]), (10, 10, 5, 5))
    torch.testing.assert_close(box[2] - box[0], torch.tensor(10 * math.exp(6 / 5)))


def test_degenerate_boxes_encode_to_finite_deltas_and_gradients() -> None:
    boxes = DEGENERATE.clone().requires_grad_()
    deltas = encode(boxes[:, None], boxes[None])
    assert deltas.isfinite().all()
    deltas.sum().backward()
    assert boxes.grad is not None
    assert boxes.grad.isfinite().all()


def test_decode_broadcasts_over_classes() -> None:
    deltas, boxes = torch.randn(6, 3, 4), random_boxes(6)
    assert torch.equal(decode(deltas, boxes[:, None])[:, 1], decode(deltas[:, 1], boxes))


def test_anchor_shapes_have_the_area_of_the_scale_and_the_ratio() -> None:
    shapes = anchor_shapes()
    assert shapes.shape == (9, 4)
    sides = shapes[:, 2:] - shapes[:, :2]
    torch.testing.assert_close(area(shapes).sqrt(), torch.tensor([128.0, 256, 512]).repeat_interleave(3))
    torch.testing.assert_close(sides[:, 1] / sides[:, 0], torch.tensor([0.5, 1, 2]).repeat(3))
    assert (shapes[:, :2] + shapes[:, 2:]).abs().max() == 0
    # The first row of the anchors of detectron2's C4 models at size 128 and ratio 1/2.
    torch.testing.assert_close(shapes[0], torch.tensor([-90.5097, -45.2548, 90.5097, 45.2548]))


def test_grid_order_is_that_of_a_permuted_head_map() -> None:
    height, width, A = 3, 5, 9
    anchors = grid_anchors(anchor_shapes(), height, width, stride=16)
    centre_x = torch.arange(width).expand(1, A, height, width) * 16.0
    centre_y = torch.arange(height)[:, None].expand(1, A, height, width) * 16.0
    number = torch.arange(A)[:, None, None].expand(1, A, height, width)
    x, y, a = (m.permute(0, 2, 3, 1).reshape(-1) for m in (centre_x, centre_y, number))
    torch.testing.assert_close(anchors, anchor_shapes()[a] + torch.stack([x, y, x, y], dim=-1))


def test_generator_caches_shapes_and_forgets_the_oldest() -> None:
    generator = AnchorGenerator(scales=(32, 64), ratios=(1,))
    assert generator.num_anchors == 2
    first = generator(2, 3, "cpu")
    assert first.shape == (12, 4)
    assert generator(2, 3, torch.device("cpu")) is first
    for width in range(4, 4 + CACHED_SHAPES):
        generator(2, width)
    assert generator(2, 3) is not first
    assert torch.equal(generator(2, 3), first)


def test_inside_mask_is_per_image_and_tolerates_the_margin() -> None:
    anchors = torch.tensor([[0.0, 0, 20, 10], [-1, 0, 20, 10], [0, 0, 21, 10]])
    sizes = torch.tensor([[10, 20], [10, 21]])
    assert inside_mask(anchors, sizes).tolist() == [[True, False, False], [True, False, True]]
    assert inside_mask(anchors, sizes, margin=1).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_coordinates_are_never_rounded_to_half_precision(dtype: torch.dtype) -> None:
    boxes = decode(torch.zeros(1, 4, dtype=dtype), torch.tensor([[1000.25, 0.5, 1001.75, 3.5]]))
    assert boxes.tolist() == [[1000.25, 0.5, 1001.75, 3.5]]

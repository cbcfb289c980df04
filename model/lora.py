"""LoRA: a few small matrices beside frozen weights, and back into them."""

from typing import Any

from model.base import Base


def attach(base: Base, rank: int, alpha: int, *, bf16: bool) -> Any:
    """Freeze a base's weights but for small matrices beside each linear layer; return peft's model.

    T5's embedding and output layer have new rows, so they train too, whole. With `bf16` the frozen
    matrices are kept in it: half the memory, and autocast would round them anyway.
    """
    import peft
    import torch

    config = peft.LoraConfig(
        r=rank, lora_alpha=alpha, lora_dropout=0.0, target_modules="all-linear"
    )
    tuner = peft.LoraModel(base.weights, config, "default")
    if bf16:
        for module in base.weights.modules():
            if isinstance(module, peft.tuners.lora.LoraLayer):
                module.get_base_layer().to(torch.bfloat16)
    if base.family == "encoder-decoder":
        for layer in (base.weights.get_input_embeddings(), base.weights.get_output_embeddings()):
            layer.weight.requires_grad_(True)  # noqa: FBT003  torch's own signature
    return tuner


def merge(base: Base, tuner: Any) -> None:
    """Add the small matrices into the weights, in float32, and take them away."""
    base.weights.float()
    tuner.merge_and_unload()
    base.weights.requires_grad_(True)  # noqa: FBT003  torch's own signature

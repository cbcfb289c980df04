"""A version's own weights as what training begins with."""

import json

from model.artifact import Artifact
from model.base import ENCODER_DECODER, Base, load_encoder_decoder
from model.errors import BaseError, describe_error
from model.tokenizer import load_codec


def open_tuned(artifact: Artifact) -> Base:
    """Load a version to train on from, in float32, with its vocabulary and under its base's name.

    Its vocabulary does not grow: what it has no piece for is spelled in bytes.

    Raises:
        BaseError: It came without weights, or they cannot be loaded.
        ArtifactError: Its tokenizer is damaged.
    """
    import transformers

    config = artifact.weights / "config.json"
    if not config.is_file():
        raise BaseError(
            f"{artifact.path.name} came without weights to train on from: begin with the base"
        )
    try:
        raw = json.loads(config.read_text("utf-8"))
        if raw["model_type"] in ENCODER_DECODER:
            weights = load_encoder_decoder(str(artifact.weights), raw)
        else:
            weights = transformers.AutoModelForCausalLM.from_pretrained(
                artifact.weights, dtype="float32"
            )
    except (OSError, KeyError, ValueError) as error:
        raise BaseError(
            f"the weights of {artifact.path.name} cannot be loaded "
            f"({describe_error(error)}): train from the base instead"
        ) from error
    card = artifact.card
    return Base(card.base, card.family, weights, load_codec(artifact.tokenizer))

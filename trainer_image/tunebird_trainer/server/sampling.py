"""One token from one row of logits."""

import torch

from tunebird_trainer.server.requests import Sampling

_GREEDY_BELOW = 1e-5


def generator(seed: int | None) -> torch.Generator:
    made = torch.Generator(device="cpu")
    if seed is None:
        made.seed()
    else:
        made.manual_seed(seed)
    return made


def draw(logits: torch.Tensor, sampling: Sampling, source: torch.Generator) -> int:
    """`logits` is one-dimensional."""
    if sampling.temperature < _GREEDY_BELOW:
        return int(torch.argmax(logits))
    probabilities = torch.softmax(logits.float() / sampling.temperature, dim=-1)
    if sampling.top_p < 1:
        probabilities = _nucleus(probabilities, sampling.top_p)
    return int(torch.multinomial(probabilities, 1, generator=source))


def _nucleus(probabilities: torch.Tensor, mass: float) -> torch.Tensor:
    """The smallest set of tokens whose probability reaches `mass` (Holtzman et al. 2020); multinomial renormalises."""
    ordered, order = torch.sort(probabilities, descending=True)
    outside = torch.cumsum(ordered, dim=-1) - ordered >= mass
    return torch.zeros_like(probabilities).scatter(0, order, ordered.masked_fill(outside, 0.0))

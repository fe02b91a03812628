"""What the operator's configuration says about rollouts."""

from __future__ import annotations

from dataclasses import dataclass

from tunebird.rollout.plan import Runtime, Server

VLLM_IMAGE = "vllm/vllm-openai:v0.32.0"


@dataclass(frozen=True, slots=True)
class ModelRolloutSettings:
    """`server_image` is that of runtime tunebird; `allow_file_uris` is true on the embedded control plane only."""

    server_image: str
    vllm_image: str = VLLM_IMAGE
    allow_file_uris: bool = False
    scrape_timeout_seconds: float = 3.0

    def image_of(self, server: Server) -> str:
        """The user's image, or the runtime's default of this operator version."""
        match server.runtime:
            case Runtime.TUNEBIRD:
                return server.image or self.server_image
            case Runtime.VLLM:
                return server.image or self.vllm_image
            case Runtime.CUSTOM:
                return server.image

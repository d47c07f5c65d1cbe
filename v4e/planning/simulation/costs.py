"""The cost of a triplet in each stage: the plan's FLOPs at stated speeds, bytes, and the costs in ``scale``.

FLOPs of Wan2.1's frozen encoders are those that torch's counter sees on the meta device.
"""

from dataclasses import dataclass

from v4e.config import Config
from v4e.models.sizes import Pipeline
from v4e.planning.gpus import Cluster
from v4e.planning.layout import rollout_flops, triplet_bytes
from v4e.planning.memory import EXACT, checkpoint_bytes
from v4e.planning.simulation.farm import Stage
from v4e.planning.work import Reads, SampleWork, Speed, left_of, sampling_flops

# Of the VAE: FLOPs a pixel, of the first frame and of four more; and the width of its attention within a frame.
ENCODE, DECODE, VAE_WIDTH, VAE_STRIDE = (6_656_864, 20_011_424), (10_748_168, 33_779_528), 384, 8
TEXT_FLOPS, IMAGE_FLOPS = 9.27e9, 0.3346e12  # of UMT5-XXL a token of a short text, of CLIP ViT-H an image
CLIPS, IMAGES = 3, 2  # that the VAE and CLIP encode of a triplet


@dataclass(frozen=True, kw_only=True)
class StageNodes:
    """The nodes of a cluster, all alike, with what a stage uses of each."""

    count: int
    gpus: int  # of each
    storage_gb_s: float  # of each, all at it together


def nodes_of(config: Config, cluster: Cluster) -> StageNodes:
    """Returns the nodes of ``cluster.gpus``: whole ones, or one that is not full."""
    count = max(1, cluster.gpus // cluster.per_node)
    return StageNodes(
        count=count,
        gpus=min(cluster.gpus, cluster.per_node),
        storage_gb_s=min(config.scale.storage_gb_s, config.scale.storage_total_gb_s / count),
    )


def vae_flops(a_pixel: tuple[int, int], pixels: int, latent_frames: int) -> int:
    """Returns the FLOPs of encoding or decoding a clip: convolutions, and attention among the latents of each frame."""
    first, more = a_pixel
    tokens = pixels // VAE_STRIDE**2
    attention = 4 * tokens * tokens * VAE_WIDTH * latent_frames
    return pixels * (first + more * (latent_frames - 1)) + attention


def stages(
    config: Config, student: Pipeline, teacher: Pipeline, work: SampleWork, speed: Speed, nodes: StageNodes
) -> list[Stage]:
    """Returns, in order, the stages in which triplets know nothing of each other."""
    scale, count = config.scale, config.plan.triplets
    stored = triplet_bytes(config, student)
    clip = EXACT * student.dit.channels_out * config.data.latent_frames
    clip *= (config.data.height // student.stride) * (config.data.width // student.stride)

    def disk_s(read: float, written: float) -> float:
        return (read + written) / 1e9 / nodes.storage_gb_s

    def gpus_s(flops: float) -> float:
        return flops / 1e12 / speed.infer / nodes.gpus

    def cores_s(milliseconds: float) -> float:
        return milliseconds / 1e3 / scale.cores

    images = 1e6 * scale.image_mb
    return [
        Stage(
            name="ingest",
            triplets=count,
            storage_s=disk_s(scale.rows * images, images),
            cores_s=cores_s(scale.rows * (scale.row_ms + scale.image_ms)),
        ),
        Stage(name="caption", triplets=count, gpus_s=1 / scale.captions_per_s / nodes.gpus),
        Stage(
            name="precompute",
            triplets=count,
            storage_s=disk_s(images, stored - clip),
            cores_s=cores_s(scale.image_ms),
            gpus_s=gpus_s(encode_flops(config)),
        ),
        Stage(
            name="rollout",
            triplets=count,
            storage_s=disk_s(stored - clip, 0),
            gpus_s=gpus_s(rollout_flops(config, teacher, work)),
            driver_s=scale.rollout_ms / 1e3,
        ),
    ]


def encode_flops(config: Config) -> float:
    """Returns the FLOPs of a triplet's features."""
    data, plan = config.data, config.plan
    clips = CLIPS * vae_flops(ENCODE, data.height * data.width, data.latent_frames)
    return clips + TEXT_FLOPS * (plan.instruction_tokens + plan.caption_tokens) + IMAGES * IMAGE_FLOPS


def edit_flops(config: Config, student: Pipeline, reads: Reads) -> float:
    """Returns the FLOPs of one served edit: the steps of ``sample``, and all encoders."""
    sample, data, plan = config.sample, config.data, config.plan
    steps = {"steps": sample.steps, "guidance": sample.guidance, "middle_steps": sample.middle_steps}
    sampling = sampling_flops(student.dit, reads, frames=data.latent_frames, **steps)
    left = left_of(data.latent_frames, sample.middle_steps)
    clip = sum(vae_flops(way, data.height * data.width, n) for way, n in ((ENCODE, data.latent_frames), (DECODE, left)))
    read = TEXT_FLOPS * plan.instruction_tokens + IMAGE_FLOPS
    return sampling + clip + read


def state_bytes(config: Config, student: Pipeline) -> int:
    """Returns the bytes of a checkpoint."""
    return checkpoint_bytes(config, student.dit, student.image_tokens)

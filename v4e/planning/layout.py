"""A run on a cluster of GPUs, on paper: who is where, what it holds, how long it takes, and what breaks first.

Arithmetic alone, on v4e/planning/work.py's FLOPs and v4e/planning/memory.py's bytes. Seconds follow from stated speeds.
A forward's communication is taken to hide behind its computing, or the other way round: the longer of them counts.
"""

from dataclasses import dataclass, fields

from v4e.config import Config
from v4e.models.sizes import Pipeline
from v4e.planning.frozen_memory import FrozenMemory, editor_memory, encoder_memory, strips_bytes
from v4e.planning.gpus import Cluster
from v4e.planning.memory import BYTES, EXACT, OFFLOADED, StudentMemory, checkpoint_bytes, student_memory, teacher_memory
from v4e.planning.seconds import Seconds, checkpoint_seconds, seconds_on
from v4e.planning.work import MIB, Pace, SampleWork, Speed, forward_flops, pace_of, pool_size, replicas_needed, work_of

GIB = 2**30
HOST_GIB = 6.0  # that Ray, the driver and Python take of a node (ours)
CUDA_PROCESS_GIB = 1.5  # of host memory that a process on a GPU takes with its libraries (ours)
PROCESS_GIB = {
    "training": 0.7,
    "teaching": 0.57,
}  # without a GPU: imports and runtime, as benchmarks/training/plan.py found


@dataclass(frozen=True, kw_only=True)
class Limit:
    """A resource of which a run needs more than there is."""

    what: str
    needs: float
    has: float
    unit: str

    def __str__(self) -> str:
        return f"{self.what}: needs {self.needs:.4g} {self.unit}, there is {self.has:.4g}"


@dataclass(frozen=True, kw_only=True)
class HeldBytes:
    """Bytes."""

    student: StudentMemory  # of a training rank, wherever it is
    student_gpu: int  # of it on the GPU, at the peak, with the strips of the run
    strips: int  # what these hold beside a step
    teacher_weights: int  # of a replica's rank
    teacher_activations: int
    editor: FrozenMemory  # of a GPU that evaluates or serves
    encoder: FrozenMemory  # of a GPU of precompute
    host: int  # of the node that holds most
    store: int  # on disk, with rollouts
    checkpoints: int  # on disk: those kept, and one that is being written

    @property
    def teacher_gpu(self) -> int:
        return self.teacher_weights + self.teacher_activations


@dataclass(frozen=True, kw_only=True)
class ClusterPlan:
    """The plan of one run on a cluster."""

    work: SampleWork
    speed: Speed
    held: HeldBytes
    seconds: Seconds
    training_gpus: int
    teacher_gpus: int
    replicas: int
    pace: Pace
    bound: str  # what sets the pace
    rollout_flops: int  # of a triplet
    rollout_h: float
    training_h: float
    cost: float  # 0 without plan.price
    checkpoint: int  # bytes
    checkpoint_every_s: float
    staging_s: float  # that a rank takes to copy its part to host memory, while training stands still
    limits: tuple[Limit, ...]  # that rollouts and training break, in the order in which they would meet them
    elsewhere: tuple[Limit, ...]  # that precompute, evaluation and serving break

    @property
    def gpus(self) -> int:
        return self.training_gpus + self.teacher_gpus

    @property
    def rollout_gpu_h(self) -> float:
        """GPU hours of the rollouts of 1,000 triplets."""
        return 1000 * self.rollout_flops / 1e12 / self.speed.infer / 3600

    @property
    def checkpoint_gb_s(self) -> float:
        """GB/s that storage must take: each checkpoint is written before the next is due."""
        return self.checkpoint / 1e9 / self.checkpoint_every_s


def work_for(config: Config, student: Pipeline, teacher: Pipeline) -> SampleWork:
    """Returns the cost of a sample, by the models' sizes and the lengths of texts in ``plan``."""
    return work_of(
        config,
        student.dit,
        teacher.dit,
        grid_FHW=grid_of(config, student),
        image_tokens=student.image_tokens,
        instruction=config.plan.instruction_tokens,
        evolution=config.plan.caption_tokens,
    )


def grid_of(config: Config, student: Pipeline) -> tuple[int, int, int]:
    """F H W of a clip's latents."""
    return config.data.latent_frames, config.data.height // student.stride, config.data.width // student.stride


def speed_on(config: Config, cluster: Cluster) -> Speed:
    """Returns the speeds that the config gives, else the stated shares of the GPU's data sheet."""
    plan, peak = config.plan, cluster.gpu.tflops
    return Speed(train=plan.train_tflops or plan.train_share * peak, infer=plan.infer_tflops or plan.infer_share * peak)


def plan_cluster(
    config: Config, student: Pipeline, teacher: Pipeline, cluster: Cluster, triplets: int = 0
) -> ClusterPlan:
    """The plan of `config` on `cluster`; `triplets` that it has, or ``plan.triplets``."""
    work, speed, distils = work_for(config, student, teacher), speed_on(config, cluster), config.kd.weight > 0
    triplets = triplets or config.plan.triplets
    held = held_by(config, student, teacher, work, cluster, triplets)
    seconds = seconds_on(config, student, teacher, work, speed, cluster)
    forwards = config.optim.accumulate / config.train.workers
    student_s = max(seconds.compute, seconds.gather) + seconds.offload / forwards
    replicas = pool_size(config, replicas_needed(config, student_s, seconds.target))
    pace = pace_of(config, work.target_bytes, max(student_s, seconds.stream), seconds.target, replicas)
    shares = {
        "the student's computing": seconds.compute,
        "FSDP's communication": seconds.gather,
        "the network, by the stream of targets": seconds.stream,
        "the teacher": seconds.target * config.train.workers / replicas,
    }
    training_gpus = config.train.workers * max(1, config.train.gpus_per_worker)
    teacher_gpus = config.teacher.tp * max(1, config.teacher.gpus) * (replicas if distils else 0)
    rolled = rollout_flops(config, teacher, work)
    rollout_s = triplets * rolled / 1e12 / speed.infer / config.teacher.tp
    pool = config.teacher.most_replicas  # also without distillation rollouts are the teacher's
    rollout_h, training_h = rollout_s / pool / 3600, config.optim.total * pace.step_s / 3600
    paid_h = rollout_h * pool * config.teacher.tp + training_h * (training_gpus + teacher_gpus)
    checkpoint = checkpoint_bytes(config, student.dit, student.image_tokens)
    return ClusterPlan(
        work=work,
        speed=speed,
        held=held,
        seconds=seconds,
        training_gpus=training_gpus,
        teacher_gpus=teacher_gpus,
        replicas=replicas if distils else 0,
        pace=pace,
        bound=max(shares, key=lambda name: shares[name]),
        rollout_flops=rolled,
        rollout_h=rollout_h,
        training_h=training_h,
        cost=config.plan.price * paid_h,
        checkpoint=checkpoint,
        checkpoint_every_s=checkpoint_seconds(config, pace.step_s),
        staging_s=checkpoint / (config.train.shard or config.train.workers) / 1e9 / cluster.gpu.host_gb_s,
        limits=tuple(broken(config, held, training_gpus + teacher_gpus, cluster)),
        elsewhere=tuple(
            Limit(what=what, needs=needs / GIB, has=cluster.usable / GIB, unit="GiB")
            for what, needs in (
                ("memory of precompute's GPU", held.encoder.total),
                ("memory of an editor's GPU", held.editor.total),
            )
            if needs > cluster.usable
        ),
    )


def held_by(
    config: Config, student: Pipeline, teacher: Pipeline, work: SampleWork, cluster: Cluster, triplets: int
) -> HeldBytes:
    """Returns the bytes in memory and on disk."""
    train, image = config.train, student.image_tokens
    memory = student_memory(config, student.dit, work.student_reads, workers=train.workers, image_tokens=image)
    weights, activations = teacher_memory(config, teacher.dit, work.teacher_reads, image_tokens=teacher.image_tokens)
    strips = strips_bytes(config, memory)
    state = memory.weights + memory.moments + memory.ema  # a checkpoint is written from a copy in host memory
    ranks = min(train.workers, cluster.per_node)
    targets = work.target_bytes * config.teacher.prefetch
    host = HOST_GIB * GIB + ranks * (
        CUDA_PROCESS_GIB * GIB + state + targets + memory.in_host_memory(train.offload) + (config.data.cache_mib << 20)
    )
    return HeldBytes(
        student=memory,
        student_gpu=memory.total - memory.in_host_memory(train.offload) + strips,
        strips=strips,
        teacher_weights=weights,
        teacher_activations=activations,
        editor=editor_memory(config, student.dit, work.student_reads, image_tokens=image),
        encoder=encoder_memory(config),
        host=round(host),
        store=triplets * triplet_bytes(config, student),
        checkpoints=(train.keep + 1) * checkpoint_bytes(config, student.dit, student.image_tokens),
    )


def triplet_bytes(config: Config, student: Pipeline) -> int:
    """Returns the bytes of a triplet in the store.

    Latents and the rollout are float32; texts and images have the encoders' precision.
    """
    (frames, height, width), dit, size = grid_of(config, student), student.dit, BYTES[config.models.dtype]
    latents = EXACT * dit.channels_out * height * width * (3 * frames + 1)
    text = size * dit.text_width * (config.plan.instruction_tokens + config.plan.caption_tokens)
    return latents + text + 2 * size * student.image_tokens * dit.image_width


def rollout_flops(config: Config, teacher: Pipeline, work: SampleWork) -> int:
    """Returns the FLOPs of one triplet's rollout."""
    return config.teacher.forwards * forward_flops(teacher.dit, work.teacher_reads)


def broken(config: Config, held: HeldBytes, gpus: int, cluster: Cluster) -> list[Limit]:
    """The limits that a run breaks: what it never gets, what fills up at its start, what fills up later."""
    found = []

    def hold(what: str, needs: float, has: float, unit: str = "GiB") -> None:
        if needs > has > 0:
            found.append(Limit(what=what, needs=needs, has=has, unit=unit))

    usable = cluster.usable / GIB
    hold("GPUs of the cluster", gpus, cluster.gpus, "GPUs")
    hold("GPUs of one node, for a teacher's ranks", config.teacher.tp, cluster.per_node, "GPUs")
    hold("memory of a teacher's GPU", held.teacher_gpu / GIB, usable)
    hold("memory of a training GPU", held.student_gpu / GIB, usable)
    hold("memory of a node", held.host / GIB, cluster.host_gib)
    hold("storage", (held.store + held.checkpoints) / GIB, cluster.storage_gib)
    return found


def parts_gib(config: Config, held: HeldBytes) -> dict[str, float]:
    """GiB of a training GPU by part; what is offloaded is not there."""
    away = OFFLOADED[config.train.offload]
    gib = {field.name: getattr(held.student, field.name) / GIB for field in fields(held.student)}
    gib["strips"] = held.strips / GIB
    return {name: size for name, size in gib.items() if name not in away and (size or name not in ("vae", "strips"))}


def process_gib(config: Config, student: Pipeline, teacher: Pipeline, work: SampleWork) -> dict[str, dict[str, float]]:
    """GiB of a training and of a teaching process without GPUs, by part, with what any such process holds."""
    image = student.image_tokens
    memory = student_memory(config, student.dit, work.student_reads, workers=config.train.workers, image_tokens=image)
    weights, activations = teacher_memory(config, teacher.dit, work.teacher_reads, image_tokens=teacher.image_tokens)
    training = {field.name: getattr(memory, field.name) / GIB for field in fields(memory)}
    parts = {"training": training}
    if config.kd.weight > 0:
        parts["teaching"] = {"weights": weights / GIB, "activations": activations / GIB}
    whole = {side: held | {"process": PROCESS_GIB[side]} for side, held in parts.items()}
    return {side: held | {"peak": sum(held.values())} for side, held in whole.items()}


def stream_gb_s(pace: Pace) -> float:
    """GB/s of targets."""
    return pace.mib_per_s * MIB / 1e9

"""Checks before a training run starts anything: each refusal names the difference and what to do."""

from v4e.config import Config
from v4e.data.sources import parts
from v4e.faults import Fault
from v4e.files.uri import read_json
from v4e.models.sizes import DitConfig, DitSizes, dit
from v4e.parallel.cuts import check_degree
from v4e.weights.hub import TRANSFORMER, check_folder, check_trained_frames, local_folder

HALF_ONLY = ("flash", "sage", "cudnn", "fa2")  # in the names of backends whose kernels take no float32


def check_run(config: Config) -> tuple[DitConfig, DitConfig]:
    """Refuses before the first stage what a later one would refuse; the configs of student and teacher.

    Raises:
        FileNotFoundError: a model is not there.
        ValueError: the models do not fit `config`, or its triplets cannot be read.
    """
    student = dit_config(config.models.student, "models.student")
    teacher = dit_config(config.models.teacher, "models.teacher")
    check_frames(config)
    check_attention(config)
    check_models(config, dit(student), dit(teacher))
    check_split(config, dit(teacher))
    if config.lora.rank:
        from v4e.weights.lora import check_targets  # diffusers and peft, which no other check needs

        check_targets(config.lora, student)
    if config.models.lora:
        from v4e.weights.lora_merge import read_changes
        from v4e.weights.shard import empty_dit

        read_changes(empty_dit(config.models.student), config.models.lora, "models.lora")
    for key in ("train", "heldout"):
        if uri := getattr(config.data, key):
            parts(uri, key=f"data.{key}")
    return student, teacher


def dit_config(folder: str, key: str) -> DitConfig:
    """Reads the transformer's config.json of a pipeline folder or hub id, without its weights.

    Raises:
        FileNotFoundError: there is none; names `key`, the setting that asked for it.
    """
    try:
        check_folder(folder)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{key}: {error}") from error
    try:
        path = local_folder(folder, TRANSFORMER[:1]) / "transformer" / "config.json"
        return read_json(str(path))
    except OSError as error:
        raise FileNotFoundError(
            f"{key}={folder} has no transformer/config.json, or huggingface.co was not reached: "
            "expected a diffusers pipeline folder or hub id of Wan image to video"
        ) from error


def check_frames(config: Config) -> None:
    """Refuses a clip length that the student's or the teacher's family does not know.

    Raises:
        ValueError: naming the lengths that it knows.
    """
    for folder in (config.models.student, config.models.teacher):
        check_trained_frames("data.frames", config.data.frames, folder)


def check_attention(config: Config) -> None:
    """Refuses an attention backend that diffusers does not know, that is not installed, or that cannot compute so.

    Raises:
        ValueError: naming what diffusers knows, how to install the backend, or the precision that it needs.
    """
    name = config.models.attention
    if name == "native":
        return
    from v4e.compat import attention_backends, check_attention_backend  # torch and diffusers, for a name they check

    names = attention_backends()
    if name not in names:
        raise Fault("T01", f"models.attention={name}: expected one of {', '.join(names)}")
    try:
        check_attention_backend(name)
    except RuntimeError as error:
        ours = "pip install -e '.[flash]', " if name in ("flash", "flash_varlen") else ""
        raise Fault("T01", f"models.attention={name}: {error} {ours}or set models.attention=native") from error
    if any(word in name for word in HALF_ONLY):
        for key, dtype in (("models.dtype", config.models.dtype), ("train.dtype", config.train.dtype)):
            if dtype == "float32":
                raise Fault("T01", f"models.attention={name} computes in 16 bits, {key}=float32: set {key}=bfloat16")


def check_models(config: Config, student: DitSizes, teacher: DitSizes | None) -> None:
    """Refuses taps that are not there and pairs whose hidden states cannot be compared.

    Raises:
        ValueError: `config` asks for what these two models cannot give.
    """
    if config.kd.weight == 0:
        return
    if teacher is None:
        raise ValueError(
            f"kd.weight={config.kd.weight} without a teacher: set models.teacher to an FLF2V pipeline, or kd.weight=0"
        )
    for name, sizes in (("student", student), ("teacher", teacher)):
        beyond = [tap for tap in config.kd.taps if tap >= sizes.layers]
        if beyond:
            raise ValueError(
                f"kd.taps={config.kd.taps}: the {name} {getattr(config.models, name)} has blocks "
                f"0..{sizes.layers - 1}, not {beyond}: choose kd.taps among them"
            )
    if student.width != teacher.width:
        raise ValueError(
            f"student and teacher differ in width, {student.width} and {teacher.width}: their hidden states "
            "cannot be compared; choose models.student and models.teacher of one size, or set kd.weight=0"
        )
    grids = (("patch_size", "patch"), ("out_channels", "channels_out"), ("in_channels", "channels_in"))
    for key, field in grids:
        if (got := getattr(student, field)) != (needed := getattr(teacher, field)):
            raise ValueError(
                f"student and teacher have different latent grids: {key} is {got} and {needed}; "
                "choose models.student and models.teacher of one family"
            )
    if config.teacher.tokens == "tail" and student.patch[0] != 1:
        raise ValueError(
            f"teacher.tokens=tail needs one frame of tokens a latent frame, {config.models.student} has patches of "
            f"{student.patch[0]} latent frames: set teacher.tokens=all"
        )
    check_split(config, teacher)


def check_split(config: Config, teacher: DitSizes) -> None:
    """Refuses to split the teacher over a number of ranks that its heads do not divide over.

    Raises:
        ValueError: naming the numbers that they do.
    """
    check_degree(config.teacher.tp, teacher.heads, teacher.ffn)


def check_latents(config: Config, student: DitSizes, shape_CFHW: tuple[int, ...], tail_CHW: tuple[int, ...]) -> None:
    """Refuses a store whose latents the student cannot read.

    Raises:
        ValueError: the shapes disagree with the model or with each other.
    """
    channels, frames = shape_CFHW[:2]
    if channels != student.channels_out or frames != config.data.latent_frames:
        raise ValueError(
            f"the store holds latents of {channels} channels and {frames} frames, the student and data.frames="
            f"{config.data.frames} need {student.channels_out} and {config.data.latent_frames}: "
            "run pipelines/precompute.py with this recipe"
        )
    if config.tail.weight > 0 and tuple(tail_CHW) != (channels, *shape_CFHW[2:]):
        raise ValueError(
            f"tail.weight={config.tail.weight} needs tail latents of shape {(channels, *shape_CFHW[2:])}, "
            f"the store has {tuple(tail_CHW)}: run pipelines/precompute.py, or set tail.weight=0"
        )

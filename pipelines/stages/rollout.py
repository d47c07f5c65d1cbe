"""The teacher's clip latents, once for every triplet in the store.

Samples the FLF2V teacher through the pool and writes store/rollouts/<fingerprint>/. With teacher.clip=line it draws
straight lines between stored latents instead and needs no teacher. A second run does only what is missing. Training
reads the rollouts as the clean end of its noise path.
"""

import ray
from ray.actor import ActorHandle

from actors.cluster import connect
from actors.fetch import fetch_everywhere
from actors.stream.transport import Lost, check_transport, fetch
from actors.teacher.pool import await_pool, teacher_pool
from actors.teacher.replica import load_sampler
from v4e.config import Config
from v4e.data.store.ids import training_ids
from v4e.data.store.paths import rollouts_uri
from v4e.data.store.store import RolloutStore, Store
from v4e.files.manifest import stage
from v4e.files.progress import bar, plan, say
from v4e.method.flow import line_clip
from v4e.models.sizes import dit
from v4e.training import checks as startup
from v4e.training.schedule import calls
from v4e.weights import needed

Chunk = tuple[str, ...]


def run(config: Config) -> None:
    """Brings the rollouts up to date with the store and the recipe."""
    ids = training_ids(config)
    rollouts = RolloutStore.open(config)
    missing = set(ids) if config.run.overwrite else set(ids) - set(rollouts.ids())
    # Cut before finished samples are left out, so that a resumed run has the same forwards, to the bit.
    size = config.teacher.batch
    todo = [chunk for chunk in calls(ids, size, config) if missing & set(chunk)]
    plan(
        "rollouts",
        {
            "samples": f"{len(ids)}, of which {len(ids) - len(missing)} are done",
            "teacher": f"{config.models.teacher}, text = {config.teacher.text}",
            **how(config, len(todo)),
            "output": rollouts_uri(config),
        },
    )
    if todo and config.teacher.clip == "line":
        draw_lines(config, sorted(missing), rollouts)
    elif todo:
        sample(config, todo, missing, rollouts)


def how(config: Config, calls: int) -> dict[str, str]:
    """Returns how rollouts are made, in rows for people."""
    teacher = config.teacher
    if teacher.clip == "line":
        return {"clips": "straight lines from the source's latent to the tail's; no teacher is needed"}
    lora = f", LoRA {teacher.lora}" if teacher.lora else ""
    return {
        "sampler": f"{teacher.steps} steps of {teacher.solver}, shift {teacher.shift or config.flow.shift:g}, "
        f"guidance {teacher.guidance:g}{lora}: {teacher.forwards} forwards a rollout",
        "pool": f"{teacher.replicas} replicas of {teacher.tp} ranks, {calls} calls of {teacher.batch}",
    }


def draw_lines(config: Config, ids: list[str], rollouts: RolloutStore) -> None:
    """Writes a straight line between stored latents as the rollout of each sample."""
    store = Store.open(config)
    with stage(config.run.dir, "rollout"), bar("rollouts", len(ids), unit="samples") as advance:
        for key in ids:
            sample = store.read(key)
            rollouts.write(key, line_clip(sample.z_i2v_CFHW[:, 0], sample.z_tail_CHW, config.data.latent_frames))
            advance(1)


def sample(config: Config, todo: list[Chunk], missing: set[str], rollouts: RolloutStore) -> None:
    """Samples the chunks `todo` through a pool of teachers, and writes the rollouts of those that are `missing`."""
    check_transport(config.teacher)
    startup.check_attention(config)
    startup.check_frames(config)
    startup.check_split(config, dit(startup.dit_config(config.models.teacher, "models.teacher")))
    connect()
    fetch_everywhere(needed.teacher(config), gpus=config.teacher.gpus > 0, say=say)
    with (
        stage(config.run.dir, "rollout"),
        bar("rollouts", len(missing), unit="samples") as advance,
        teacher_pool(config, load_sampler) as pool,
    ):
        await_pool(pool, config.teacher, say)
        for chunk, latents in answers(pool, todo, config):
            for key, z_clip_CFHW in zip(chunk, latents, strict=True):
                if key in missing:
                    rollouts.write(key, z_clip_CFHW)
            advance(len(missing & set(chunk)))


def answers(pool: ActorHandle, chunks: list[Chunk], config: Config):
    """``(chunk, z_clip_BCFHW)`` for every chunk, in any order; each replica has a few chunks to do at a time."""
    todo = list(reversed(chunks))
    running: dict[ray.ObjectRef, Chunk] = {}
    lost = 0
    while todo or running:
        while todo and len(running) < 2 * config.teacher.most_replicas:
            chunk = todo.pop()
            running[pool.rollout.remote(chunk)] = chunk
        [answer], _ = ray.wait(list(running), num_returns=1)
        chunk = running.pop(answer)
        try:
            [payload], _ = ray.get(answer)
            yield chunk, fetch(payload, config.teacher.timeout_s).clone()
        except Lost:  # the pool or a node died: the pool restarts, and the chunk is requested again
            lost += 1
            if lost > config.teacher.retries:
                raise
            todo.append(chunk)

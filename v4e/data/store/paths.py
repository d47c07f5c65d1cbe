"""Where the parts of a run lie: below ``run.dir`` unless the config says otherwise."""

from v4e.config import Config
from v4e.data.store.fingerprint import rollout_fingerprint
from v4e.files.uri import join


def train_uri(config: Config) -> str:
    """Triplets to train on."""
    return config.data.train or join(config.run.dir, "triplets", "train.parquet")


def heldout_uri(config: Config) -> str:
    """Triplets to evaluate on."""
    return config.data.heldout or join(config.run.dir, "triplets", "heldout.parquet")


def captions_uri(config: Config) -> str:
    """What the ICG wrote."""
    return config.data.captions or join(config.run.dir, "captions.parquet")


def dropped_uri(config: Config) -> str:
    """What the ICG wrote, but the config's policy left out: nothing trains on it, no run writes it again."""
    return f"{captions_uri(config).removesuffix('.parquet')}.dropped.parquet"


def store_uri(config: Config) -> str:
    """The feature store: all that is frozen, once."""
    return config.data.store or join(config.run.dir, "store")


def rollouts_uri(config: Config) -> str:
    """The rollouts of this teacher with these settings, one folder of the store."""
    return join(store_uri(config), "rollouts", rollout_fingerprint(config)[:8])

"""The places of the parts of a run: below ``run.dir`` unless the config says otherwise."""

from v4e.config import Config
from v4e.data.store.fingerprint import rollout_fingerprint
from v4e.files.uri import join


def train_uri(config: Config) -> str:
    """Returns the URI of the triplets to train on."""
    return config.data.train or join(config.run.dir, "triplets", "train.parquet")


def heldout_uri(config: Config) -> str:
    """Returns the URI of the triplets to evaluate on."""
    return config.data.heldout or join(config.run.dir, "triplets", "heldout.parquet")


def captions_uri(config: Config) -> str:
    """Returns the URI of the captions that the ICG writes."""
    return config.data.captions or join(config.run.dir, "captions.parquet")


def dropped_uri(config: Config) -> str:
    """Returns the URI of the captions that the config's policy leaves out: they are neither used nor written again."""
    return f"{captions_uri(config).removesuffix('.parquet')}.dropped.parquet"


def store_uri(config: Config) -> str:
    """Returns the URI of the feature store, which holds all that is frozen."""
    return config.data.store or join(config.run.dir, "store")


def rollouts_uri(config: Config) -> str:
    """Returns the URI of the rollouts of this teacher with these settings, a folder of the store."""
    return join(store_uri(config), "rollouts", rollout_fingerprint(config)[:8])

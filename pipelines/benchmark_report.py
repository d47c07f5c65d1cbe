"""tbd"""


def run(config):
    pass

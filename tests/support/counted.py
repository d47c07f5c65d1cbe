"""Weight files that count what is read through them."""

from safetensors import safe_open


class CountedFile:
    """A ``safe_open`` that knows how much was read through it."""

    read = 0

    def __init__(self, *args, **kwargs):
        self.file = safe_open(*args, **kwargs)

    def __enter__(self):
        self.file.__enter__()
        return self

    def __exit__(self, *error):
        return self.file.__exit__(*error)

    def keys(self):
        return self.file.keys()

    def get_slice(self, name):
        return CountedSlice(self.file.get_slice(name))


class CountedSlice:
    def __init__(self, part):
        self.part = part
        self.get_shape = part.get_shape

    def __getitem__(self, index):
        value = self.part[index]
        CountedFile.read += value.nbytes
        return value

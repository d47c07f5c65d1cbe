"""All codes of errors. ``python -m v4e.faults.page > docs/errors.md`` makes the page that explains them.

A code keeps its meaning for ever; a new meaning gets a new number.
"""

CODES: dict[str, str] = {
    # A: any command
    "A01": "An argument is no `key=value`, or its value is not of the setting's kind. Read `v4e COMMAND --help`.",
    "A02": "Settings, files or models do not fit each other. The line names them and what to change.",
    "A03": "A file, a folder or a model is not there. Check the name that the line gives, or run the stage before.",
    "A04": "A place may not be read or written, or is read-only. Choose another one, or change its permissions.",
    "A05": "A disk or a quota is full. Free some room, or choose a place on another disk; finished work is kept.",
    "A06": "A network port is in use by another program. Choose another port, or end that program.",
    "A07": "A storage or network service did not answer, or refused the credentials. Check address and credentials.",
    "A08": "Memory is used up: of the machine, of a GPU, or of /dev/shm. Lower batch, workers or replicas.",
    "A09": "A name or a text cannot be used: it is no UTF-8, or too long. Rename or save it anew.",
    "A10": "Ray, or a process that it started, ended with an error. The line has the cause and where its log lies.",
    "A11": "The command was stopped by Ctrl-C or SIGTERM. The same command goes on with what it finished.",
    "A12": "A file that v4e or another program wrote is damaged, or was changed by hand. The line names it. Restore "
    "it, or remove it if it is of a run, whose stage then writes it anew.",
    "A13": "`v4e doctor` found something wrong. The lines above say what, on which node, and how to mend it.",
    "A99": "An error that v4e did not expect. Run the command again with V4E_DEBUG=1, and report what it prints.",
    # T: training and what belongs to it
    "T01": "The attention backend of `models.attention` is not installed, or cannot compute in this precision. "
    "Install it, or set `models.attention=native models.fold_pad=false`.",
    "T02": "The run in `run.dir` was trained with other settings or samples. Set them back, choose another `run.dir`, "
    "or start anew with `run.overwrite=true`.",
    "T04": "No Ray answers at `RAY_ADDRESS`, or it cannot be joined. Start one by `ray start --head`, or unset it.",
    "T05": "Ray did not start on this machine. The line has the cause and the place of its logs. Try again when the "
    "machine is less busy; Ray needs room in /dev/shm and on the disk of its temporary folder.",
    "T07": "A relative path in a Ray job would lie in Ray's temporary copy of the code. Give a whole path or a URI.",
    "T19": "A LoRA file cannot be used with this model. Expected a safetensors file that was trained on it, in the "
    "names of diffusers, ComfyUI, kohya or musubi; DoRA, LoHa and LoKr are not read.",
    "T12": "`train.resume` names a step that has no checkpoint. Choose one of those that the line lists.",
    "T13": "The disk has no room for a checkpoint. Free some, lower `train.keep`, or move `run.dir`; then the same "
    "command goes on.",
    "T14": "A plan for a cluster needs the name of its GPU: set `plan.gpu`, such as `plan.gpu=h100`.",
    "T10": "Another process is at the same stage of this run. Wait for its end, end it, or choose another `run.dir`. "
    "One that died is followed: at once on the same host, after 35 s without a heartbeat on another.",
    # J: judging
    "J01": "The judge replies to no question, or refuses every request. The line has its words. Check its address and "
    "model, or leave out or rename a parameter with `judge.parameters`.",
    "J02": "The folder of `bench.edits` is not there, or names two pictures for one edit.",
    # P: preservation
    "P01": "`bench.pairs` names no pair of source and edit.",
    # D: data
    "D01": "No file of a corpus can be read as what it was given for. The line says which columns were found; "
    "`ingest.columns` names those of a table of your own.",
}

"""The rules of the metadata audit: what a text, or the key of a member, must not give away.

Every expression runs in linear time: repeats are bounded, or of classes that exclude what follows them, and matches
begin only where a word can begin. A substring test guards each, so that a rule costs little where it cannot match;
`re` compiles an expression when it is first used, and keeps it.
"""

from dataclasses import dataclass

from weighbridge.evidence.record import Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueRule:
    """Something that a text can show.

    Attributes:
        id: stable identifier, without the probe's name.
        severity: how bad it is.
        why: what it gives away, in a clause.
        guards: at least one occurs (compared in lower case) wherever the expression matches.
        expression: what is found.
        benign: what is found but is a placeholder; tested on the matched text in lower case.
    """

    id: str
    severity: Severity
    why: str
    guards: tuple[str, ...]
    expression: str
    benign: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRule:
    """A member of a configuration that tells about the run, recognised by its key.

    Attributes:
        id: stable identifier, without the probe's name.
        severity: how bad it is.
        why: what it gives away, in a clause.
        globs: patterns of the key, lower case.
        value: what a value must look like for the key to count; None for any that is not empty.
    """

    id: str
    severity: Severity
    why: str
    globs: tuple[str, ...]
    value: str | None = None


_PLACEHOLDER = r"(?:user|username|you|your[-_]?name|me|name|path|foo|\.\.\.|xxx|example)"
_START = r"(?<![\w.~:/\\-])"

VALUE_RULES = (
    ValueRule(
        id="home-path",
        severity=Severity.HIGH,
        why="an absolute path into somebody's home folder",
        guards=("/home/", "/users/", "\\users\\", "/root/"),
        expression=(
            r"(?:" + _START + r"|(?<=file://)|(?<=file:))(?:/home/[\w.-]{1,64}|/Users/[\w.-]{1,64}|/root/[\w.-]{1,64})"
            r"(?![\w-])|\b[A-Za-z]:(?:\\{1,2}|/)[Uu]sers(?:\\{1,2}|/)[\w.-]{1,64}"
        ),
        benign=(
            r"(?:/home/|/users/|users\\{1,2}|users/)(?:"
            + _PLACEHOLDER
            + r"|shared|public|default)$|^/home/page$|^/root/(?:element|node|child|item)$"
        ),
    ),
    ValueRule(
        id="internal-path",
        severity=Severity.MEDIUM,
        why="an absolute path on a shared file system",
        guards=("/mnt/", "/scratch/", "/lustre/", "/gpfs/", "/nfs/", "/fsx/", "/data/", "/workspace/", "/dbfs/"),
        expression=(
            r"(?:" + _START + r"|(?<=file://)|(?<=file:))/(?:mnt|scratch|lustre|gpfs|nfs|fsx|data|workspace|dbfs)"
            r"/[\w.-]{2,64}(?:/[\w.-]{1,64})?"
        ),
        benign=r"^/(?:mnt|data|workspace)/(?:data|path|models?|input|output|\.\.\.)$",
    ),
    ValueRule(
        id="file-url",
        severity=Severity.MEDIUM,
        why="a link to a file on some machine",
        guards=("file:/",),
        expression=r"\bfile:/{1,3}[\w.%~-]{1,64}(?:/[\w.%~-]{1,64}){0,8}",
        benign=r"^file:/{1,3}(?:path|\.\.\.|example)(?:/.*)?$",
    ),
    ValueRule(
        id="e-mail",
        severity=Severity.MEDIUM,
        why="an e-mail address or user@host",
        guards=("@",),
        expression=(
            r"(?<![\w.+%/@-])[A-Za-z0-9][\w.+-]{0,63}@(?:[A-Za-z0-9-]{1,63}\.){1,6}[A-Za-z]{2,24}(?![\w@-])(?!\.\w)"
            r"|(?<=ssh )[A-Za-z_][\w-]{0,31}@[A-Za-z][\w-]{1,62}\b"
        ),
        benign=(
            r"@(?:[\w-]{1,63}\.){0,4}(?:example(?:\.(?:com|org|net|edu))?|test|invalid|localhost|email\.com|domain\.com)$"
            r"|^(?:noreply|no-reply|git)@"
        ),
    ),
    ValueRule(
        id="internal-host",
        severity=Severity.MEDIUM,
        why="the name of a host in a private zone",
        guards=(".internal", ".corp", ".local", ".lan", ".intranet"),
        expression=(
            r"(?<![\w.-])(?:[A-Za-z0-9][A-Za-z0-9-]{0,62}\.){1,6}(?:internal|corp|local|lan|intranet)\b(?![.\w(=-])"
        ),
        benign=r"^(?:threading|self|host\.docker|example|tf|torch|np|settings|config|env)\.",
    ),
    ValueRule(
        id="private-address",
        severity=Severity.MEDIUM,
        why="an address in a private network",
        guards=("10.", "192.168.", "172."),
        expression=(
            r"(?<![\w.-])(?:10(?:\.\d{1,3}){3}|192\.168(?:\.\d{1,3}){2}|172\.(?:1[6-9]|2\d|3[01])(?:\.\d{1,3}){2})"
            r"(?![\w-])(?!\.\d)"
        ),
        benign=r"\.\d*(?:2[6-9]\d|25[6-9]|[3-9]\d\d)(?:\.|$)|^10\.0\.0\.0$|^192\.168\.0\.0$",
    ),
    ValueRule(
        id="token",
        severity=Severity.CRITICAL,
        why="an access token or key",
        guards=(
            "hf_",
            "api_org_",
            "sk-",
            "sk_live_",
            "rk_live_",
            "akia",
            "asia",
            "ghp_",
            "gho_",
            "ghs_",
            "ghu_",
            "ghr_",
            "github_pat_",
            "glpat-",
            "xox",
            "xapp-",
            "hooks.slack.com/",
            "aiza",
            "npm_",
            "pypi-",
            "nvapi-",
            "gsk_",
            "r8_",
            "dapi",
            "dop_v1_",
            "hvs.",
            "dckr_pat_",
            "sg.",
            "accountkey=",
            "shpat_",
            "glsa_",
            "pplx-",
            "xai-",
            "ya29.",
        ),
        expression=(
            r"(?<![\w-])(?:hf_[A-Za-z0-9]{30,64}|api_org_[A-Za-z0-9]{30,64}|sk-(?:proj-|ant-|svcacct-)?[A-Za-z0-9_-]{20,200}"
            r"|[rs]k_live_[A-Za-z0-9]{20,120}|(?:AKIA|ASIA)[A-Z0-9]{16}|gh[posur]_[A-Za-z0-9]{36,255}|github_pat_\w{40,255}"
            r"|glpat-[\w-]{20,64}|xox[abeprs]-[0-9A-Za-z-]{20,255}|xapp-\d-[0-9A-Za-z-]{20,255}|AIza[\w-]{35}"
            r"|hooks\.slack\.com/services/T\w{6,14}/B\w{6,14}/\w{16,40}|npm_[A-Za-z0-9]{36}|pypi-AgEIcHlwaS5vcmc[\w-]{50,200}"
            r"|nvapi-[\w-]{60,80}|gsk_[A-Za-z0-9]{48,60}|r8_[A-Za-z0-9]{37}|dapi[0-9a-f]{32}(?:-\d)?|dop_v1_[0-9a-f]{64}"
            r"|hvs\.[\w-]{24,200}|dckr_pat_[\w-]{27}|SG\.[\w-]{22}\.[\w-]{43}|AccountKey=[A-Za-z0-9+/]{86}=="
            r"|shpat_[0-9a-f]{32}|glsa_[A-Za-z0-9]{32}_[0-9a-f]{8}|pplx-[A-Za-z0-9]{48,64}|xai-[A-Za-z0-9]{70,90}"
            r"|ya29\.[\w-]{40,300})(?![A-Za-z0-9])"
        ),
        benign=r"(?:x{8}|\.{3}|0{12}|example$|1234567890)|^sk-[a-z]+(?:-[a-z]+)*$",
    ),
    ValueRule(
        id="private-key",
        severity=Severity.CRITICAL,
        why="a private key",
        guards=("private key",),
        expression=r"-----BEGIN (?:[A-Z]{2,10} ){0,2}PRIVATE KEY-----\s{0,4}(?:\\n)?[A-Za-z0-9+/]{16}",
    ),
    ValueRule(
        id="json-web-token",
        severity=Severity.HIGH,
        why="a signed web token",
        guards=("eyj",),
        expression=r"(?<![\w-])eyJ[A-Za-z0-9_-]{10,2000}\.eyJ[A-Za-z0-9_-]{10,2000}\.[A-Za-z0-9_-]{20,1000}(?![\w-])",
    ),
    ValueRule(
        id="assigned-secret",
        severity=Severity.HIGH,
        why="a key or password that something is set to",
        guards=(
            "wandb",
            "w&b",
            "aws",
            "api_key",
            "apikey",
            "access_key",
            "accesskey",
            "secret",
            "auth_token",
            "authtoken",
            "access_token",
            "accesstoken",
        ),
        expression=(
            r"(?i)(?<![a-z0-9])(?:wandb|w&b)[_ -]?(?:api)?[_ -]?key[\"']?"
            r"\s{0,2}[:=,\s]\s{0,2}[\"']?[0-9a-f]{40}(?![0-9a-f])"
            r"|(?<![a-z0-9])aws_?(?:secret_?access_?key|session_?token)[\"']?\s{0,2}[:=]\s{0,2}[\"']?[a-z0-9/+=]{40,400}"
            r"|(?<![a-z0-9-])(?:[a-z0-9]{1,20}_){0,3}"
            r"(?:api_?key|access_?key|secret_?key|auth_?token|access_?token|client_?secret)"
            r"[\"']?\s{0,2}(?:=|:)\s{0,2}[\"'](?=[a-z_+/.-]{0,60}\d)[\w+/.-]{20,200}={0,2}[\"']"
        ),
        benign=r"x{6}|\.{3}|0{12}|1234567890|your|example|dummy|placeholder|changeme|<|\$\{|test[_-]|fake",
    ),
    ValueRule(
        id="url-credential",
        severity=Severity.CRITICAL,
        why="a link with a password in it",
        guards=("://",),
        expression=(
            r"(?<![\w+.-])[A-Za-z][A-Za-z0-9+.-]{1,15}://[^\s/:@\"'<>{}$]{1,64}:[^\s/:@\"'<>{}$]{4,128}@[A-Za-z0-9][\w.-]{1,128}"
        ),
        benign=r":(?:pass(?:word|wd)?|secret|token|\*+|x+|\.{3}|your[\w-]*)@|@(?:example\.|localhost)",
    ),
    ValueRule(
        id="run-folder",
        severity=Severity.MEDIUM,
        why="the name of a run's folder or of its log, with a time, a host or an identity",
        guards=("run-2", "tfevents."),
        expression=(
            r"(?<![\w-])(?:offline-)?run-20\d{6}_\d{6}-[a-z0-9]{8}\b|\bevents\.out\.tfevents\.\d{10}\.[\w.-]{2,64}"
        ),
    ),
    ValueRule(
        id="bucket",
        severity=Severity.MEDIUM,
        why="a place in somebody's object store",
        guards=("s3://", "gs://", "abfss://", "hdfs://", "s3a://", "wasbs://"),
        expression=r"(?i)(?<![\w+.-])(?:s3a?|gs|abfss|hdfs|wasbs)://[a-z0-9][\w.@:-]{2,80}(?:/[\w.=-]{1,64}){0,6}",
        benign=(
            r"://(?:(?:my|your|some|the)[_-]?)?(?:bucket|path|example|container|folder|namenode|commoncrawl)\b"
            r"|://(?:my|your|some)[_-]"
        ),
    ),
    ValueRule(
        id="tracker-link",
        severity=Severity.HIGH,
        why="a link to a run in an experiment tracker",
        guards=("wandb.ai/", "comet.com/", "comet.ml/", "neptune.ai/", "/experiments/", "clear.ml/"),
        expression=(
            r"\bwandb\.ai/[\w.-]{1,64}/[\w.-]{1,128}(?:/runs/\w{1,64})?|\bcomet\.(?:com|ml)/[\w.-]{1,64}/[\w.-]{1,64}/\w{8,64}"
            r"|\bapp\.neptune\.ai/[\w.-]{1,64}/[\w.-]{1,64}|/#/experiments/\d{1,20}/runs/[0-9a-f]{32}\b"
            r"|\bapp\.clear\.ml/projects/\w{8,64}"
        ),
        benign=r"wandb\.ai/(?:site|docs|guides|wandb/wandb-logo|authorize|fully-connected)(?:/|$)",
    ),
)

SECRET_RULES = tuple(
    rule
    for rule in VALUE_RULES
    if rule.id in ("token", "private-key", "json-web-token", "assigned-secret", "url-credential")
)
"""Those about keys and passwords."""

_PATH_VALUE = r"^(?:/|~|\.{1,2}/|[A-Za-z]:[\\/]|\\\\|file:|s3:|gs:|hdfs:|abfss?:)|/.{0,1024}/|checkpoint-\d"

KEY_RULES = (
    KeyRule(
        id="run-id",
        severity=Severity.HIGH,
        why="the identity of a training run in a tracker",
        globs=(
            "wandb*",
            "*_wandb*",
            "mlflow*",
            "comet_*",
            "neptune*",
            "clearml*",
            "run_id",
            "*_run_id",
            "run_name",
            "experiment_id",
            "experiment_name",
            "*_experiment_key",
            "slurm_*",
            "job_id",
            "*_job_id",
            "training_run",
        ),
    ),
    KeyRule(
        id="work-path",
        severity=Severity.MEDIUM,
        why="a folder of the machine that trained",
        globs=(
            "output_dir",
            "logging_dir",
            "cache_dir",
            "log_dir",
            "data_dir",
            "data_path",
            "train_file",
            "*_data_path",
            "save_dir",
            "checkpoint_dir",
            "resume_from_checkpoint",
            "tensorboard_dir",
            "run_dir",
            "work_dir",
        ),
    ),
    KeyRule(
        id="base-path",
        severity=Severity.MEDIUM,
        why="a path, where the name of a published model belongs",
        globs=("_name_or_path", "name_or_path", "base_model_name_or_path", "tokenizer_file", "model_name_or_path"),
        value=_PATH_VALUE,
    ),
    KeyRule(
        id="trainer-field",
        severity=Severity.MEDIUM,
        why="a setting of the trainer, not of the model",
        globs=(
            "training_args",
            "training_arguments",
            "trainer_state",
            "trainer_config",
            "optimizer",
            "optimizer_*",
            "lr_scheduler*",
            "deepspeed*",
            "fsdp_config",
            "report_to",
            "training_data*",
            "train_dataset*",
        ),
    ),
    KeyRule(
        id="credential-field",
        severity=Severity.CRITICAL,
        why="a field made for a credential, and not empty",
        globs=(
            "hub_token",
            "push_to_hub_token",
            "*api_key",
            "access_token",
            "auth_token",
            "use_auth_token",
            "hf_token",
            "aws_secret*",
            "password",
            "*_password",
            "client_secret",
        ),
        value=r"\A[^\s<>*$]{4,4096}\Z",
    ),
)

# What a loader needs is never taken away, whatever its name or an extra pattern says.
NEEDED_KEYS = frozenset(
    (
        "architectures", "model_type", "auto_map", "torch_dtype", "dtype", "vocab_size", "hidden_size", "hidden_act",
        "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim",
        "max_position_embeddings", "rms_norm_eps", "rope_theta", "rope_scaling", "rope_parameters",
        "tie_word_embeddings", "attention_bias", "mlp_bias", "layer_types", "sliding_window", "quantization_config",
        "bos_token_id", "eos_token_id", "pad_token_id", "bos_token", "eos_token", "unk_token", "pad_token",
        "tokenizer_class", "model_max_length", "chat_template", "added_tokens_decoder", "added_tokens",
        "additional_special_tokens", "extra_special_tokens", "text_config", "vision_config", "audio_config",
        "transformers_version", "model", "pre_tokenizer", "normalizer", "decoder", "post_processor",
    )
)  # fmt: skip

"""The families of reward models: what each reads, at which token its reward is, how step rewards become one value.

A family is data. Every entry names in `source` where its format was read and in `unconfirmed` what could not be read
there; nothing else about a family is assumed anywhere. This module does not know torch, tokenizers or runs.

    head       what the checkpoint holds besides a decoder body            reward
    classes    Linear-ReLU-Linear to (wrong, right) at the separator       softmax, probability of right
    tokens     the language model's own logits of two tokens at the tag    softmax over the two, the good one
    value      v_head.summary: Linear to 1 at the separator                sigmoid
    validity   score_head: Linear to (negative, neutral, positive) at the  softmax, neutral + positive
               end of the step
    implicit   a language model, and a second one as its reference         beta x sum of the log-ratios of the
                                                                           response's tokens up to the step's end
    sequence   score: Linear to 1 at the last token (outcome reward)       the raw number, higher is better
    file       Linear to 1 in reward_head.pt, at the last token (outcome)  sigmoid
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from nbest.errors import ConfigError
from nbest.scoring.aggregation import Aggregation
from nbest.specs import did_you_mean

Head: TypeAlias = Literal["classes", "tokens", "value", "validity", "implicit", "sequence", "file"]
Layout: TypeAlias = Literal["chat", "plain", "pieces"]
Thinking: TypeAlias = Literal["both", "answer", "reasoning"]
TooLong: TypeAlias = Literal["error", "skip", "truncate-left-steps", "window"]
"""What to do with a trajectory that does not fit: `scoring/reward/windows.py` explains each."""


@dataclass(frozen=True, slots=True)
class RewardFamily:
    """The input format of one family of reward models.

    `models` are hub ids. `layout`: "chat" renders (system, user, assistant) with the tokenizer's chat template; "plain"
    is one text of question, `joint` and answer; "pieces" tokenizes question and steps one by one, so that the separator
    is always a token of its own. `separator` follows each step (`before_separator` between them, `after_separator`
    behind it); an outcome model has none. `system=None` leaves the system turn to the template. `prompt` is the text
    around the question, with {question} in it (none: the question alone). `is_llama` says that the body of a "validity"
    head is Llama's and not Mistral's. `has_bos` says that a "plain" text, or one of "pieces" with `reads_ends`, begins
    with the tokenizer's bos token, once, whatever the tokenizer's settings. `step_label` is put before a step that does
    not begin with its first word. `good` and `bad` are the tokens that a "tokens" head compares. With `reads_ends` the
    reward of a step is at its own last token, or `offset` tokens before it, and no separator is written. `reference` is
    the model that an "implicit" head divides by, and `beta` its factor. `window_tokens` is the largest input, if it is
    below what the config of the model says, and `too_long` what happens to a longer trajectory unless the caller says
    otherwise. `thinking` names the part of a trace that is read: its reasoning, its answer, or both.
    """

    name: str
    models: tuple[str, ...]
    head: Head
    layout: Layout
    source: str
    unconfirmed: str
    system: str | None = None
    joint: str = ""
    separator: str = ""
    before_separator: str = ""
    after_separator: str = ""
    prompt: str = ""
    has_bos: bool = False
    is_llama: bool = False
    step_label: str = ""
    good: str = ""
    bad: str = ""
    reads_ends: bool = False
    offset: int = 0
    reference: str = ""
    beta: float = 0.0
    window_tokens: int | None = None
    too_long: TooLong = "error"
    aggregation: Aggregation = "mean"
    thinking: Thinking = "both"

    @property
    def is_process(self) -> bool:
        """Whether each step has a reward of its own (a PRM), or the whole response has one (an ORM)."""
        return bool(self.separator) or self.reads_ends

    @property
    def allows_windows(self) -> bool:
        """Whether the rewards of steps do not depend on where the row begins: a sum over the response does."""
        return self.is_process and self.head != "implicit"


_NO_THINKING = "the card shows answers without a thinking part; what to read of a thinking trace is not documented"
_NO_AGGREGATION = "how step rewards become one value is not documented on the card (mean is this package's choice)"

_NO_LONG = (
    "what the authors do with a trace longer than 4,096 tokens is not documented (sliding over whole steps, each with "
    "the question, is this package's choice: too_long = 'window')"
)

QWEN_WINDOW_TOKENS = 4096
"""The window of Qwen's process reward models, by their config.json (max_position_embeddings)."""

_QWEN = RewardFamily(
    name="qwen2.5-math-prm",
    models=("Qwen/Qwen2.5-Math-PRM-7B", "Qwen/Qwen2.5-Math-PRM-72B"),
    head="classes",
    layout="chat",
    # The card's example; the system turn is part of it.
    system="Please reason step by step, and put your final answer within \\boxed{}.",
    separator="<extra_0>",
    window_tokens=QWEN_WINDOW_TOKENS,
    too_long="window",
    source="model card of Qwen/Qwen2.5-Math-PRM-7B (make_step_rewards; steps split at blank lines, <extra_0> behind "
    "each); score head Linear-ReLU-Linear as in vLLM's Qwen2ForProcessRewardModel (qwen2_rm.py, num_labels = 2) and in "
    "a public copy of its class; config.json as quoted in public (model_type qwen2, window 4,096 tokens, auto_map)",
    unconfirmed=f"{_NO_THINKING}; {_NO_AGGREGATION}; {_NO_LONG}",
)

_PRM800K = RewardFamily(
    name="qwen2.5-math-prm800k",
    models=("Qwen/Qwen2.5-Math-7B-PRM800K",),
    head="classes",
    layout="chat",
    system=_QWEN.system,
    separator="<extra_0>",
    window_tokens=QWEN_WINDOW_TOKENS,
    too_long="window",
    source="model card of Qwen/Qwen2.5-Math-7B-PRM800K (the same make_step_rewards, separator and step rule)",
    unconfirmed=f"{_NO_THINKING}; {_NO_AGGREGATION}; {_NO_LONG}; the system turn is taken from Qwen2.5-Math-PRM-7B's "
    "example",
)

_REASONFLUX = RewardFamily(
    name="reasonflux-prm",
    models=("Gen-Verse/ReasonFlux-PRM-7B",),
    head="classes",
    layout="chat",
    # The example has no system turn; the tokenizer's template may add its own.
    system=None,
    separator="<extra_0>",
    source="ReasonFlux_PRM/README.md and utils/rm_utils.py of github.com/Gen-Verse/ReasonFlux (user and assistant "
    "turns, steps split at blank lines, <extra_0> behind each, make_step_rewards); made for thinking traces and their "
    "answers (arXiv 2506.18896)",
    unconfirmed="the layers of its score head are not printed there (its code is remote): they are taken to be "
    f"Qwen2ForProcessRewardModel's, and loading refuses a checkpoint that differs; {_NO_AGGREGATION}",
)

_REASONFLUX_SMALL = RewardFamily(
    name="reasonflux-prm-1.5b",
    models=("Gen-Verse/ReasonFlux-PRM-1.5B",),
    head="file",
    layout="plain",
    source="the same README and rm_utils.RewardModel: problem and completion as one text, Linear(hidden, 1) from "
    "reward_head.pt on the last hidden state of the last token, sigmoid. One reward per response: an outcome model",
    unconfirmed="its example cuts at 2,048 tokens; here the window is the config's and nothing is cut in silence",
)

_SHEPHERD = RewardFamily(
    name="math-shepherd",
    models=("peiyi9979/math-shepherd-mistral-7b-prm",),
    head="tokens",
    layout="plain",
    joint=" ",
    separator="ки",
    before_separator=" ",
    after_separator="\n",
    # The card drops the first id of `encode("+ -")`: its encodings begin with bos.
    has_bos=True,
    step_label="Step {number}: ",
    good="+",
    bad="-",
    # "We use the minimum score across all steps to represent the final score" (section 3.4).
    aggregation="min",
    source="example of the model card as copied in public repositories (f'{question} {output}', softmax over the "
    "logits of '+' and '-' = [648, 387] at the tag, 12902); data card of peiyi9979/Math-Shepherd ('Step 1: ... ки'); "
    "aggregation from arXiv 2312.08935, section 3.4",
    unconfirmed=f"the card itself was not readable; line breaks between steps are those of its example; {_NO_THINKING}",
)

_SKYWORK_PRM = RewardFamily(
    name="skywork-o1-open-prm",
    models=("Skywork/Skywork-o1-Open-PRM-Qwen-2.5-1.5B", "Skywork/Skywork-o1-Open-PRM-Qwen-2.5-7B"),
    head="value",
    layout="pieces",
    joint="\n",
    separator="\n",
    source="github.com/SkyworkAI/skywork-o1-prm-inference: vllm_add_dummy_model/prm_model.py (v_head.summary), and "
    "model_utils (prepare_input: bos + problem + newline, each step's own tokens, then the step token; sigmoid of the "
    "value there) as copied in public repositories; the card calls it with step_token = newline",
    unconfirmed=f"the 1.5B checkpoint has a class of its own on the hub, whose v_head is taken to be the 7B's (loading "
    f"refuses another); the card splits at every newline, here a step is that of text/steps.py; {_NO_AGGREGATION}; "
    f"{_NO_THINKING}",
)

_SKYWORK_REWARD = RewardFamily(
    name="skywork-reward",
    models=(
        "Skywork/Skywork-Reward-Llama-3.1-8B",
        "Skywork/Skywork-Reward-Llama-3.1-8B-v0.2",
        "Skywork/Skywork-Reward-Gemma-2-27B",
        "Skywork/Skywork-Reward-Gemma-2-27B-v0.2",
        "Skywork/Skywork-Reward-V2-Qwen3-0.6B",
        "Skywork/Skywork-Reward-V2-Qwen3-1.7B",
        "Skywork/Skywork-Reward-V2-Qwen3-4B",
        "Skywork/Skywork-Reward-V2-Qwen3-8B",
        "Skywork/Skywork-Reward-V2-Llama-3.2-1B",
        "Skywork/Skywork-Reward-V2-Llama-3.2-3B",
        "Skywork/Skywork-Reward-V2-Llama-3.1-8B",
        "Skywork/Skywork-Reward-V2-Llama-3.1-8B-40M",
    ),
    head="sequence",
    layout="chat",
    source="model card of Skywork/Skywork-Reward-Llama-3.1-8B-v0.2 (user and assistant turns by the chat template, one "
    "bos token, logits[0][0]); the V2 models by their own card's list",
    unconfirmed=f"the example of the V2 cards was not readable: taken to be that of the first series; {_NO_THINKING}",
)

_ACEMATH = RewardFamily(
    name="acemath-rm",
    models=("nvidia/AceMath-7B-RM", "nvidia/AceMath-72B-RM"),
    head="sequence",
    layout="chat",
    # "check", not "put", as in the card's example.
    system="Please reason step by step, and check your final answer within \\boxed{}.",
    source="model card of nvidia/AceMath-72B-RM and 7B-RM (sequence classification, num_labels = 1, system turn)",
    unconfirmed=_NO_THINKING,
)

_REASONEVAL_QUESTION = "Question:\n{question}\nAnswer:\nLet's think step by step.\n"

_REASONEVAL = RewardFamily(
    name="reasoneval",
    models=("GAIR/ReasonEval-7B",),
    head="validity",
    layout="pieces",
    prompt=_REASONEVAL_QUESTION,
    has_bos=True,
    reads_ends=True,
    # In the published code the positions are counted before the bos token is put back in front.
    offset=1,
    # "solution_level_validity_scores = min(step_level_validity_scores)"
    aggregation="min",
    source="codes/examples.py of github.com/GAIR-NLP/ReasonEval (Mistral body and score_head; prompt, steps tokenized "
    "one by one without a separator, validity = neutral + positive, minimum over steps; arXiv 2404.05692)",
    unconfirmed=f"{_NO_THINKING}; its second measure, redundancy, is not a reward and is left out; that the code reads "
    "one token before the end of a step follows from its arithmetic and is kept, because the model was used so",
)

_REASONEVAL_LARGE = RewardFamily(
    name="reasoneval-34b",
    models=("GAIR/ReasonEval-34B",),
    head="validity",
    layout="pieces",
    prompt=_REASONEVAL_QUESTION,
    is_llama=True,
    reads_ends=True,
    aggregation="min",
    source="the same file (Llama body, no bos token, reward at the last token of each step)",
    unconfirmed=_NO_THINKING,
)

_EURUS = RewardFamily(
    name="eurusprm",
    models=("PRIME-RL/EurusPRM-Stage1", "PRIME-RL/EurusPRM-Stage2"),
    head="implicit",
    layout="chat",
    # No system turn of its own: the template adds Qwen's.
    system=None,
    after_separator="\n\n",
    step_label="Step {number}: ",
    reads_ends=True,
    reference="Qwen/Qwen2.5-Math-7B-Instruct",
    beta=0.001,
    # The value of the last step is the reward of the whole response, for which the model was trained.
    aggregation="last",
    source="model cards of PRIME-RL/EurusPRM-Stage1 and Stage2 (q_t = sum of beta log(pi / pi_ref) over the tokens of "
    "the response, steps 'Step K: ...'; arXiv 2412.01981) and a public copy of their example (chat template, steps "
    "joined by blank lines, beta = 0.001, reference Qwen2.5-Math-7B-Instruct, cumulative sums at step ends)",
    unconfirmed=f"{_NO_THINKING}; how step rewards become one value for best-of-N is not documented on the cards; the "
    "copy reads one token behind the end of a step, here the sum ends with the step",
)

FAMILIES: dict[str, RewardFamily] = {
    family.name: family
    for family in (
        _QWEN,
        _PRM800K,
        _REASONFLUX,
        _REASONFLUX_SMALL,
        _SHEPHERD,
        _SKYWORK_PRM,
        _SKYWORK_REWARD,
        _ACEMATH,
        _REASONEVAL,
        _REASONEVAL_LARGE,
        _EURUS,
    )
}


def find_family(name: str | None, model: str = "") -> RewardFamily:
    """Return the family of this name; without a name, the one that lists the hub id `model` (or the last part of it).

    Raises ConfigError, listing the families, if there is none: the format of a model is never guessed.
    """
    if name is not None:
        if name not in FAMILIES:
            raise ConfigError(
                f"family: got {name!r}; allowed are {sorted(FAMILIES)}, or a RewardFamily of your own."
                f"{did_you_mean(name, FAMILIES)}"
            )
        return FAMILIES[name]
    model_name = model.rstrip("/").rsplit("/", 1)[-1].lower()
    for family in FAMILIES.values():
        if any(hub_id.rsplit("/", 1)[-1].lower() == model_name for hub_id in family.models):
            return family
    raise ConfigError(
        f"family: no known family lists the model {model!r}; name its family: {sorted(FAMILIES)}, or use a "
        f"RewardFamily of your own"
    )

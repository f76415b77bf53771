"""Rows in the published schemas, written here, and tiny tokenizers built in memory."""

import json

import pytest
from hypothesis import settings

# The runtime type checks make single examples slow; the same examples in every run.
settings.register_profile("interp-xfer", deadline=None, derandomize=True)
settings.load_profile("interp-xfer")

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] | trim }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% if enable_thinking is defined and not enable_thinking %}"
    "<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
NO_SYSTEM = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + CHATML
)
DROPS_SYSTEM = (
    "{% for m in messages %}{% if m['role'] != 'system' %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
PLAIN_MARKS = (
    "{{ bos_token }}{% for m in messages %}{{ m['role'] | upper }}: {{ m['content'] }}\n\n{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
TEMPLATES = {
    "plain": None,
    "chatml": CHATML,
    "no_system": NO_SYSTEM,
    "drops_system": DROPS_SYSTEM,
    "plain_marks": PLAIN_MARKS,
}

GSM8K_ROWS = [
    {
        "question": f"A farmer has {n} hens and each lays {m} eggs a week. He eats 2 eggs. How many are left?",
        "answer": f"The hens lay {n}*{m} = <<{n}*{m}={n * m}>>{n * m} eggs.\nThere are {n * m}-2 = {n * m - 2} left."
        f"\n#### {n * m - 2:,}",
    }
    for n in range(3, 43)
    for m in (4, 5, 60)
]
MATH_ROWS = [
    {
        "problem": f"What is the positive root of $x^2 = {n * n}$, plus one half?",
        "solution": f"The root is ${n}$. The sum is $\\boxed{{\\frac{{{2 * n + 1}}}{{2}}}}$.",
        "level": "Level 1",
        "type": "Algebra",
        "unique_id": f"train/algebra/{n}.json",
    }
    for n in range(2, 60)
]
ARC_ROWS = [
    {
        "id": f"Item_{n}",
        "question": f"Which of these objects is heavier than {n} kilograms of water?",
        "choices": {"text": ["a feather", "a grape", "a loaded truck", "a leaf"], "label": labels},
        "answerKey": labels[2],
    }
    for n in range(1, 13)
    for labels in [list("ABCD") if n % 3 else list("1234")]
]


def write_jsonl(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def data_dir(tmp_path):
    """A folder laid out as the data folder is: the splits of all three benchmarks."""
    write_jsonl(tmp_path / "gsm8k" / "train.jsonl", GSM8K_ROWS[:100])
    write_jsonl(tmp_path / "gsm8k" / "test.jsonl", GSM8K_ROWS[100:])
    write_jsonl(tmp_path / "math" / "train.jsonl", MATH_ROWS[:50])
    write_jsonl(tmp_path / "math" / "test.jsonl", MATH_ROWS[50:])
    for split, rows in (("train", ARC_ROWS[:6]), ("validation", ARC_ROWS[6:9]), ("test", ARC_ROWS[9:])):
        write_jsonl(tmp_path / "arc_challenge" / f"{split}.jsonl", rows)
    return tmp_path


@pytest.fixture(scope="session")
def make_tokenizer():
    """Builds a tokenizer of one of two kinds (byte-level BPE, metaspace BPE) with one of the templates above."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    corpus = [row["question"] + "\n\n" + row["answer"] for row in GSM8K_ROWS] * 2
    corpus += ["Question: user assistant system\n\nAnswer: #### The final answer is: 12.\n\n\n"] * 50

    def make(template="chatml", kind="bytes"):
        tokenizer = Tokenizer(models.BPE(unk_token=None if kind == "bytes" else "<unk>"))
        if kind == "bytes":
            tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
            tokenizer.decoder = decoders.ByteLevel()
            alphabet = pre_tokenizers.ByteLevel.alphabet()
        else:
            tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
            tokenizer.decoder = decoders.Metaspace(prepend_scheme="first")
            alphabet = [chr(code) for code in range(32, 127)] + ["\n"]
        special = ["<s>", "<unk>", "<|im_start|>", "<|im_end|>"]
        trainer = trainers.BpeTrainer(
            vocab_size=600, special_tokens=special, initial_alphabet=alphabet, show_progress=False
        )
        tokenizer.train_from_iterator(corpus, trainer)
        tokenizer.add_special_tokens([AddedToken(token, special=True) for token in special])
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
        return PreTrainedTokenizerFast(
            tokenizer_object=tokenizer,
            bos_token="<s>",
            unk_token="<unk>",
            eos_token="<|im_end|>",
            additional_special_tokens=["<|im_start|>"],
            chat_template=TEMPLATES[template],
        )

    return make

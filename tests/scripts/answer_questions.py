"""Start and end of an answer, in the shape of run_qa: windows with a stride, and a Trainer that makes texts of its logits."""

import numpy as np
from common import FRAMES, TOPICS, finish, imports, parse, rows
from transformers import AutoModelForQuestionAnswering, AutoTokenizer, default_data_collator, set_seed

Trainer, TrainingArguments = imports()
STRIDE, LONGEST = 4, 8


class QuestionAnsweringTrainer(Trainer):
    """Scores answers in the texts, not logits of windows."""

    def __init__(self, *args, eval_examples=None, post_process_function=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.eval_examples, self.post_process_function = eval_examples, post_process_function

    def evaluate(self, eval_dataset=None, eval_examples=None, ignore_keys=None, metric_key_prefix="eval"):
        windows = self.eval_dataset if eval_dataset is None else eval_dataset
        examples = self.eval_examples if eval_examples is None else eval_examples
        score, self.compute_metrics = self.compute_metrics, None
        try:
            output = self.evaluation_loop(
                self.get_eval_dataloader(windows), "Evaluation", prediction_loss_only=None, ignore_keys=ignore_keys
            )
        finally:
            self.compute_metrics = score
        found = score(self.post_process_function(examples, windows, output.predictions), examples)
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in found.items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


def examples():
    """A text of two frames, and a question for the word in one of them."""
    words = [(topic, word) for topic, some in TOPICS.items() for word in some]
    made = []
    for number in range(240):
        topic, word = words[number % len(words)]
        _, other = words[(number * 5 + 3) % len(words)]
        parts = [FRAMES[number % 5].format(word), FRAMES[(number // 5 + 1) % 5].format(other)]
        if any(each == other for each in dict(words).get(topic, ())) or other in TOPICS[topic]:
            continue
        text = " and ".join(parts if number % 2 else parts[::-1])
        made.append(
            {"id": str(number), "question": f"which {topic}", "context": text, "answer": word, "at": text.index(word)}
        )
    return made


def main():
    script, args = parse(TrainingArguments)
    set_seed(args.seed)
    train, test = rows(script, examples())
    tokenizer = AutoTokenizer.from_pretrained(script.model)
    model = AutoModelForQuestionAnswering.from_pretrained(script.model)

    def windows(batch):
        encoded = tokenizer(
            batch["question"],
            batch["context"],
            truncation="only_second",
            max_length=script.max_length,
            stride=STRIDE,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
            padding="max_length",
        )
        sources, offsets = encoded.pop("overflow_to_sample_mapping"), encoded.pop("offset_mapping")
        made = {**encoded, "start_positions": [], "end_positions": [], "example_id": [], "offset_mapping": []}
        for row, (source, places) in enumerate(zip(sources, offsets, strict=True)):
            first, last = batch["at"][source], batch["at"][source] + len(batch["answer"][source])
            inside = [part == 1 for part in encoded.sequence_ids(row)]
            start = [i for i, (a, b) in enumerate(places) if inside[i] and a <= first < b]
            end = [i for i, (a, b) in enumerate(places) if inside[i] and a < last <= b]
            made["start_positions"].append(start[0] if start and end else 0)
            made["end_positions"].append(end[0] if start and end else 0)
            made["example_id"].append(batch["id"][source])
            made["offset_mapping"].append([list(p) if ok else [-1, -1] for p, ok in zip(places, inside, strict=True)])
        return made

    def best_texts(examples, windows, predictions):
        starts, ends = predictions[:2]
        best = {}
        for row, (name, places) in enumerate(zip(windows["example_id"], windows["offset_mapping"], strict=True)):
            for start in np.argsort(-starts[row])[:5]:
                for end in np.argsort(-ends[row])[:5]:
                    if places[start][0] >= 0 and places[end][0] >= 0 and start <= end < start + LONGEST:
                        score = starts[row][start] + ends[row][end]
                        if score > best.get(name, (-np.inf,))[0]:
                            best[name] = (score, places[start][0], places[end][1])
        return [row["context"][slice(*best.get(row["id"], (0, 0, 0))[1:])] for row in examples]

    def exact(answers, examples):
        return {
            "exact": float(np.mean([found == row["answer"] for found, row in zip(answers, examples, strict=True)]))
        }

    encoded = [part.map(windows, batched=True, remove_columns=part.column_names) for part in (train, test)]
    trainer = QuestionAnsweringTrainer(
        model=model,
        args=args,
        train_dataset=encoded[0].remove_columns(["example_id", "offset_mapping"]),
        eval_dataset=encoded[1],
        eval_examples=test,
        processing_class=tokenizer,
        data_collator=default_data_collator,
        post_process_function=best_texts,
        compute_metrics=exact,
    )
    trainer.train()
    metrics = trainer.evaluate()
    trainer.eval_dataset = encoded[1].remove_columns(["example_id", "offset_mapping"])
    finish(trainer, metrics)


if __name__ == "__main__":
    main()

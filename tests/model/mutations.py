#!/usr/bin/env python3
"""Breaks the rules of signing keys by one unit at a time and prints which tests of the model notice.

Works on a copy of the tree in a temporary folder, with the libraries already built. Ends with 1 when a mutation is not
noticed, or no longer fits the code.

    tests/model/mutations.py           all of them
    tests/model/mutations.py gap mint  those with one of these words in their name
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

KEYS = "src/domain/signing_key/"
SECOND = "chrono::Duration::seconds(1)"

# What is broken, the file, the text in it, and what stands there instead.
MUTATIONS = [
    ("nothing", KEYS + "plan.rs", "", ""),
    ("the lead of a successor is 1 s shorter", KEYS + "plan.rs",
     "((now + policy.lead).max(last.sign_until)", f"((now + policy.lead - {SECOND}).max(last.sign_until)"),
    ("the lead of a region that joins is 1 s shorter", KEYS + "plan.rs",
     '(now + policy.lead, "the region joins', f'(now + policy.lead - {SECOND}, "the region joins'),
    ("the lead of a region without a key is 1 s shorter", KEYS + "plan.rs",
     "None => (now + policy.least_lead(),", f"None => (now + policy.least_lead() - {SECOND},"),
    ("a successor begins 1 s before its predecessor ends", KEYS + "plan.rs",
     "((now + policy.lead).max(last.sign_until)", f"((now + policy.lead).max(last.sign_until - {SECOND})"),
    ("a successor begins 1 s after its predecessor ends", KEYS + "plan.rs",
     "((now + policy.lead).max(last.sign_until)", f"((now + policy.lead).max(last.sign_until + {SECOND})"),
    ("a successor follows the first key to end, not the last", KEYS + "plan.rs",
     ".max_by_key(|life| life.sign_until)", ".min_by_key(|life| life.sign_until)"),
    ("a successor is made when its predecessor ends", KEYS + "plan.rs",
     "life.sign_from - policy.lead <= now", "life.sign_until - policy.lead <= now"),
    ("a gap that a revocation left stays", KEYS + "plan.rs",
     "== KeyState::Standby && sign_from <", "== KeyState::Gone && sign_from <"),
    ("private bytes are destroyed when the key retires", KEYS + "plan.rs",
     "KeyState::Gone | KeyState::Revoked", "KeyState::Retiring | KeyState::Gone | KeyState::Revoked"),
    ("private bytes are never destroyed", KEYS + "plan.rs",
     "KeyState::Gone | KeyState::Revoked", "KeyState::Revoked"),
    ("keys are removed 1 s sooner", KEYS + "policy.rs",
     "Duration::seconds(ANSWER_SECONDS)", "Duration::seconds(ANSWER_SECONDS - 1)"),
    ("a copy may be kept 1 s longer", KEYS + "policy.rs",
     "- self.propagation - self.clock_error * 2", f"- self.propagation - self.clock_error * 2 + {SECOND}"),
    ("a write is taken to last no time", KEYS + "policy.rs",
     "- self.propagation - self.clock_error * 2", "- self.clock_error * 2"),
    ("a region is forgotten as soon as its keys are gone", KEYS + "policy.rs",
     "key.life.remove_at + self.lead", "key.life.remove_at"),
    ("a region without a key does not shorten the promise", KEYS + "policy.rs",
     "if is_whole {", "if is_whole || true {"),
    ("a standby takes over 1 s too soon", KEYS + "intervention.rs",
     "let possible_from = published_at + policy.lead;", f"let possible_from = published_at + policy.lead - {SECOND};"),
    ("a rotated key is removed with its new end", KEYS + "intervention.rs",
     "KeyLife { sign_until: now, ..active.life }",
     "KeyLife { sign_until: now, remove_at: now + policy.retire_after(), ..active.life }"),
    ("a region founds the deployment 1 s too long", KEYS + "plan.rs",
     "now < at + policy.founding)", f"now < at + policy.founding + {SECOND})"),
    ("who reads while a deployment is founded promises the whole lead", KEYS + "policy.rs",
     "let is_whole = is_founded && ", "let is_whole = "),
    ("a slow clock hears of a revocation late", KEYS + "mod.rs",
     "self.revoked_at.is_some() =>", "self.revoked_at.is_some_and(|at| at <= now) =>"),
    ("a key signs from 1 s before its time", KEYS + "mod.rs",
     "() if now >= self.sign_from =>", f"() if now + {SECOND} >= self.sign_from =>"),
    ("a key signs until 1 s after its time", KEYS + "mod.rs",
     "() if now >= self.sign_until =>", f"() if now >= self.sign_until + {SECOND} =>"),
    ("a clock may be 1 s further off", "src/clock.rs",
     "CLOCK_TOLERANCE_SECONDS * 1_000_000;", "(CLOCK_TOLERANCE_SECONDS + 1) * 1_000_000;"),
    ("the mint wants nine lives of a token to be left", "src/domain/issuance.rs",
     "if exp + policy.gateway_leeway.num_seconds() > key_remove_at.timestamp() {",
     "if exp + i64::from(life_seconds) * 9 > key_remove_at.timestamp() {"),
]


def main() -> int:
    root = pathlib.Path(__file__).resolve().parents[2]
    words = sys.argv[1:]
    environment = {"CARGO_TARGET_DIR": str(root / "target"), "PROPTEST_CASES": "400", "PROPTEST_RNG_SEED": "1",
                   "PROPTEST_MAX_SHRINK_ITERS": "0", **os.environ}
    survived = 0
    print("| broken | noticed by |\n| --- | --- |", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        tree = pathlib.Path(folder, "tree")
        shutil.copytree(root, tree, ignore=shutil.ignore_patterns("target", ".git"))
        for name, file, old, new in MUTATIONS:
            if words and not any(word in name for word in words):
                continue
            path = tree / file
            whole = path.read_text()
            if old and whole.count(old) != 1:
                print(f"| {name} | **does not fit {file}** |", flush=True)
                survived += 1
                continue
            path.write_text(whole.replace(old, new) if old else whole)
            command = ["cargo", "test", "--locked", "--no-fail-fast", "--no-default-features", "--test", "model"]
            done = subprocess.run(command, cwd=tree, env=environment, text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
            path.write_text(whole)
            failed = sorted(set(re.findall(r"^test (\w+) \.\.\. FAILED", done.stdout, re.M)),
                            key=lambda test: int(re.match(r"i(\d+)", test)[1]))
            ran = "test result:" in done.stdout
            if not ran:
                print(done.stdout, file=sys.stderr)
            good = ran and bool(failed) == bool(old)
            survived += not good
            noticed = ", ".join(f"`{test}`" for test in failed) if ran else "**does not compile**"
            if failed and " 0 passed" in done.stdout:
                noticed = "all of them"
            print(f"| {name} | {noticed or ('nobody' if not old else '**nobody**')} |", flush=True)
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())

"""The key schedule of docs/protocol.md as models for Verifpal, a symbolic analyser.

One lane, the opening exchange and some more, both heads and both payloads. The attacker
holds the network; what leaks besides, and when, makes the scenarios. Run as a program it
prints a table of the verdicts.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

EXCHANGES = 3


def start() -> str:
    """The control plane mints a secret for the lane and seals it to both ends."""
    return """
principal Consumer[
	knows private kem_c, sign_c
	knows public nonce, label_c, label_p
	kem_pub_c = PUBKEY(kem_c)
	sign_pub_c = PUBKEY(sign_c)
]
principal Producer[
	knows private kem_p, sign_p
	knows public nonce, label_c, label_p
	kem_pub_p = PUBKEY(kem_p)
	sign_pub_p = PUBKEY(sign_p)
]
Consumer -> ControlPlane: [kem_pub_c], [sign_pub_c]
Producer -> ControlPlane: [kem_pub_p], [sign_pub_p]
principal ControlPlane[
	generates minted
	for_c = PKE_ENC(kem_pub_c, minted)
	for_p = PKE_ENC(kem_pub_p, minted)
]
ControlPlane -> Consumer: [for_c], [sign_pub_p]
ControlPlane -> Producer: [for_p], [sign_pub_c]
principal Consumer[
	minted_c = PKE_DEC(kem_c, for_c)
	c_rc_0 = HKDF(minted_c, label_c, nil)
	c_rp_0 = HKDF(minted_c, label_p, nil)
	c_t_0 = HASH(label_c, label_p)
]
principal Producer[
	minted_p = PKE_DEC(kem_p, for_p)
	p_rc_0 = HKDF(minted_p, label_c, nil)
	p_rp_0 = HKDF(minted_p, label_p, nil)
	p_t_0 = HASH(label_c, label_p)
]
"""


def rekey(end: str, root: str, name: str, n: int, ikm: str, parent: bool) -> str:
    """Key, commitment and next root of a message. `parent`: as an earlier draft had it,
    where the root that is kept leads to the key."""
    if parent:
        return f"""
	{end}_{root}_{n + 1} = HKDF({end}_{root}_{n}, {ikm}, nil)
	{end}_k{name}_{n}, {end}_m{name}_{n} = HKDF({end}_{root}_{n + 1}, label_c, nil)"""
    return f"""
	{end}_k{name}_{n}, {end}_m{name}_{n}, {end}_{root}_{n + 1} = HKDF({end}_{root}_{n}, {ikm}, nil)"""


def exchange(n: int, parent: bool) -> str:
    """One exchange; the opening one, 0, carries no payload and agrees on no secret yet."""
    opening = n == 0
    agreed = lambda share, secret: f"DH_KEX({share}, {secret})"
    c_ikm = f"c_tq_{n}" if opening else f"HASH({agreed(f'gy_{n - 1}', f'x_{n}')}, c_tq_{n})"
    p_ikm = f"p_tq_{n}" if opening else f"HASH({agreed(f'gx_{n}', f'y_{n - 1}')}, p_tq_{n})"
    before = lambda end: f"{end}_t_0" if opening else f"{end}_ts_{n - 1}"
    previous = "nil" if opening else f"ticket_{n - 1}"
    p_previous = "nil" if opening else f"p_ticket_{n - 1}"
    payload, opened, answer, read = "", "", "", ""
    wire = [f"gx_{n}", f"signed_{n}", f"c_mq_{n}"]
    back = [f"gy_{n}", f"p_ms_{n}"]
    if not opening:
        payload = f"""
	generates request_{n}
	proof_q_{n} = SIGN(sign_c, HASH(c_tq_{n}, request_{n}))
	sent_q_{n} = HASH(request_{n})
	sealed_q_{n} = AEAD_ENC(c_kq_{n}, nonce, CONCAT(request_{n}, proof_q_{n}), ticket_{n})"""
        opened = f"""
	p_opened_{n} = AEAD_DEC(p_kq_{n}, nonce, sealed_q_{n}, p_ticket_{n})?
	p_request_{n}, p_proof_{n} = SPLIT(p_opened_{n})
	_ = SIGNVERIF(sign_pub_c, HASH(p_tq_{n}, p_request_{n}), p_proof_{n})?
	taken_q_{n} = HASH(p_request_{n})"""
        answer = f"""
	generates response_{n}
	proof_s_{n} = SIGN(sign_p, HASH(p_ts_{n}, response_{n}))
	sent_s_{n} = HASH(response_{n})
	sealed_s_{n} = AEAD_ENC(p_ks_{n}, nonce, CONCAT(response_{n}, proof_s_{n}), p_ticket_{n})"""
        read = f"""
	c_opened_{n} = AEAD_DEC(c_ks_{n}, nonce, sealed_s_{n}, ticket_{n})?
	c_response_{n}, c_proof_{n} = SPLIT(c_opened_{n})
	_ = SIGNVERIF(sign_pub_p, HASH(c_ts_{n}, c_response_{n}), c_proof_{n})?
	taken_s_{n} = HASH(c_response_{n})"""
        wire.append(f"sealed_q_{n}")
        back.append(f"sealed_s_{n}")
    return f"""
principal Consumer[
	generates x_{n}
	gx_{n} = PUBKEY(x_{n})
	ticket_{n} = HASH({previous}, gx_{n})
	signed_{n} = SIGN(sign_c, ticket_{n})
	c_tq_{n} = HASH({before('c')}, ticket_{n}, gx_{n}){rekey("c", "rc", "q", n, c_ikm, parent)}{payload}
]
Consumer -> Producer: {", ".join(wire)}
principal Producer[
	p_ticket_{n} = HASH({p_previous}, gx_{n})
	_ = SIGNVERIF(sign_pub_c, p_ticket_{n}, signed_{n})?
	p_tq_{n} = HASH({before('p')}, p_ticket_{n}, gx_{n}){rekey("p", "rc", "q", n, p_ikm, parent)}
	_ = ASSERT(p_mq_{n}, c_mq_{n})?{opened}
	generates y_{n}
	gy_{n} = PUBKEY(y_{n})
	p_ts_{n} = HASH(p_tq_{n}, gy_{n}){rekey("p", "rp", "s", n, f"HASH({agreed(f'gx_{n}', f'y_{n}')}, p_ts_{n})", parent)}{answer}
]
Producer -> Consumer: {", ".join(back)}
principal Consumer[
	c_ts_{n} = HASH(c_tq_{n}, gy_{n}){rekey("c", "rp", "s", n, f"HASH({agreed(f'gy_{n}', f'x_{n}')}, c_ts_{n})", parent)}
	_ = ASSERT(c_ms_{n}, p_ms_{n})?{read}
]
"""


@dataclass
class Scenario:
    """What leaks after which exchange, and what is asked; True: must hold."""

    name: str
    requirement: str
    leaks: list[str]
    after: int
    queries: dict[str, bool]
    parent: bool = False
    attacker: str = "active"
    verdicts: dict[str, bool] = field(default_factory=dict)

    def model(self) -> str:
        parts = [f"attacker[{self.attacker}]\n", start()]
        for n in range(EXCHANGES):
            parts.append(exchange(n, self.parent))
            if n == self.after and self.leaks:
                parts.append("\nphase[1]\n")
                for leak in self.leaks:
                    owner = {"c": "Consumer", "p": "Producer"}[leak.split(":")[0]]
                    parts.append(f"principal {owner}[\n\tleaks {leak.split(':')[1]}\n]\n")
        asked = "\n".join(f"\t{query}" for query in self.queries)
        return "".join(parts) + f"\nqueries[\n{asked}\n]\n"

    def check(self, verifpal: str, folder: Path, sessions: int = 1) -> None:
        """Runs the analyser on so many concurrent lanes and notes the verdict of each query, in their order."""
        path = folder / (re.sub(r"[^a-z0-9]+", "_", self.name.lower())[:48] + ".vp")
        path.write_text(self.model())
        ran = subprocess.run(
            [verifpal, "verify", "--sessions", str(sessions), "--result-code", str(path)],
            capture_output=True, text=True, timeout=900)
        code = ran.stdout.strip().splitlines()[-1] if ran.stdout.strip() else ""
        letters = re.findall(r"[a-z]([01])", code)
        if ran.returncode != 0 or len(letters) != len(self.queries):
            raise RuntimeError(f"{self.name}: {ran.stdout[-2000:]}{ran.stderr[-2000:]}")
        self.verdicts = {
            query: letter == "0" for query, letter in zip(self.queries, letters)}


def secret(*names: str) -> dict[str, bool]:
    return {f"confidentiality? {name}": True for name in names}


def lost(*names: str) -> dict[str, bool]:
    return {f"confidentiality? {name}": False for name in names}


def from_to(n: int) -> dict[str, bool]:
    return {
        f"authentication? Consumer -> Producer: sealed_q_{n}": True,
        f"authentication? Producer -> Consumer: sealed_s_{n}": True,
        f"equivalence? sent_q_{n}, taken_q_{n}": True,
        f"equivalence? sent_s_{n}, taken_s_{n}": True,
    }


PAYLOADS = [f"{kind}_{n}" for n in range(1, EXCHANGES) for kind in ("request", "response")]
IDLE_1 = ["c:c_rc_2", "c:c_rp_2"]
LAST = EXCHANGES - 1

SCENARIOS = [
    Scenario("nothing leaks", "R4", [], 0, {
        **secret(*PAYLOADS, "proof_q_1", "proof_s_1"), **from_to(1), **from_to(2)}),
    Scenario("an AEAD key leaks", "R1, R2", ["c:c_kq_1"], LAST, {
        **lost("request_1", "proof_q_1"),
        **secret("response_1", "request_2", "response_2", "c_rc_1", "c_rc_2", "c_rc_3",
                 "proof_q_2")}),
    Scenario("the consumer's root leaks in between", "R3", ["c:c_rc_2"], 1, {
        **secret(*PAYLOADS, "c_rc_3", "c_rc_1"), **from_to(2)}),
    Scenario("the producer's root leaks in between", "R3", ["p:p_rp_2"], 1, {
        **secret(*PAYLOADS, "p_rp_3", "p_rp_1"), **from_to(2)}),
    Scenario("both roots leak in between", "R3", IDLE_1, 1, {
        **secret(*PAYLOADS, "c_rc_3"), **from_to(2)}),
    Scenario("an idle consumer's whole state leaks, passive attacker", "R3, R5",
             [*IDLE_1, "c:sign_c", "c:kem_c"], 1, secret(*PAYLOADS), attacker="passive"),
    Scenario("both ends' long-term keys leak in the end", "R5", [
        "c:sign_c", "c:kem_c", "p:sign_p", "p:kem_p"], LAST, secret(*PAYLOADS)),
    Scenario("an idle consumer's whole state leaks in the end", "R5", [
        "c:sign_c", "c:kem_c", f"c:c_rc_{EXCHANGES}", f"c:c_rp_{EXCHANGES}"], LAST,
        secret(*PAYLOADS, f"c_rc_{LAST}", f"c_rp_{LAST}")),
    Scenario("the minted secret leaks", "R8", ["c:minted_c"], LAST, secret(*PAYLOADS)),
    Scenario("the consumer's ephemerals leak, roots do not", "R8",
             [f"c:x_{n}" for n in range(EXCHANGES)], LAST, secret(*PAYLOADS)),
    Scenario("the producer's ephemerals leak, roots do not", "R8",
             [f"p:y_{n}" for n in range(EXCHANGES)], LAST, secret(*PAYLOADS)),
    Scenario("control: kept roots that lead to keys", "R5 fails", [
        f"c:c_rc_{EXCHANGES}"], LAST, {
        **lost(f"request_{LAST}"), **secret("request_1")}, parent=True),
    Scenario("control: minted secret and one end's ephemerals leak", "all fails", [
        "c:minted_c", *(f"c:x_{n}" for n in range(EXCHANGES))], LAST, lost(*PAYLOADS)),
]


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--verifpal", default="verifpal", help="the program")
    options.add_argument("--sessions", type=int, default=1, help="lanes at once")
    options = options.parse_args()
    wrong = 0
    print(f"{'scenario':58} {'requirement':12} {'hold':>5} {'broken':>7}  as expected")
    with tempfile.TemporaryDirectory() as folder:
        for scenario in SCENARIOS:
            scenario.check(options.verifpal, Path(folder), options.sessions)
            held = sum(scenario.verdicts.values())
            right = scenario.verdicts == scenario.queries
            wrong += not right
            print(f"{scenario.name:58} {scenario.requirement:12} {held:>5} "
                  f"{len(scenario.queries) - held:>7}  {'yes' if right else scenario.verdicts}", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

"""Version 2 of the protocol as models for Verifpal, a symbolic analyser.

Two endpoints that start and open a lane, and some exchanges on it: who vouches for whose
keys, both heads with their signatures and commitments, both payloads; and a re-keying inside
a stream, from a root that both ends hold. The attacker holds the
network; what leaks besides, when, and whose word is believed make the scenarios. Run as a
program it prints a table of the verdicts.

What Verifpal cannot express, and these models leave out:
  * state that goes on: each run has a fixed number of exchanges on one lane. That a copy is
    found, that a call begins once and in time, is checked by the model (tests/model).
  * time: clocks, deadlines, certificates' last days.
  * structure within bytes: bodies are hashes of their fields, labels are constants. That no
    two encodings mean the same is tested where they are read and written.
  * sizes, streams' checkpoints and switches, Merkle proofs of shared signatures, suites 2 and 3.
  * the log's consistency: a log is either believed (its word arrives unchanged) or the
    attacker's own.
  * guessing: a payload is secret here or not. R4 is asked as the secrecy of the blinding
    value and of the payload, though every head, commitment and signature is on the wire.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

# The opening and what follows it.
EXCHANGES = 3
# Whose word for a peer's keys is taken. The first three are for its long-term key, which
# signs its incarnation key; with the last the incarnation keys arrive unchanged, which is
# what the first two show: the two steps at once are more than the analyser gets through.
LOG, PIN, LIAR, STARTED = (
    "an honest log's", "a pinned party key's", "a lying log's", "the start's")


def identities(vouched: str) -> str:
    """Each end starts: its long-term key signs its incarnation key, and its peer checks it."""
    def end(name: str, e: str) -> str:
        signed = "" if vouched == STARTED else f"""
	long_pub_{e} = PUBKEY(long_{e})
	start_{e} = SIGN(long_{e}, HASH(label_start, inc_pub_{e}, hpke_pub_{e}))"""
        if vouched == PIN:
            signed += f"""
	party_pub_{e} = PUBKEY(party_{e})
	cert_{e} = SIGN(party_{e}, HASH(label_cert, long_pub_{e}))"""
        return f"""
principal {name}[
	knows private party_{e}, long_{e}
	knows public nonce, label_cert, label_start, label_opening, label_ticket, label_receipt
	generates inc_{e}, hpke_{e}
	inc_pub_{e} = PUBKEY(inc_{e})
	hpke_pub_{e} = PUBKEY(hpke_{e}){signed}
]
"""

    def told(name: str, peer: str, e: str) -> str:
        """A value in brackets arrives unchanged: a pin out of band, an honest log's word."""
        if vouched == STARTED:
            return f"\n{name} -> {peer}: [inc_pub_{e}]\n"
        sent = {
            LOG: f"[long_pub_{e}]", LIAR: f"long_pub_{e}",
            PIN: f"[party_pub_{e}], long_pub_{e}, cert_{e}"}[vouched]
        check = f"""
	_ = SIGNVERIF(party_pub_{e}, HASH(label_cert, long_pub_{e}), cert_{e})?""" if vouched == PIN else ""
        return f"""
{name} -> {peer}: {sent}, inc_pub_{e}, [hpke_pub_{e}], start_{e}
principal {peer}[{check}
	_ = SIGNVERIF(long_pub_{e}, HASH(label_start, inc_pub_{e}, hpke_pub_{e}), start_{e})?
]
"""
    return (end("Consumer", "c") + end("Producer", "p")
            + told("Consumer", "Producer", "c") + told("Producer", "Consumer", "p"))


def shares() -> str:
    """What is left of an opening and an exchange where anybody knows the minted secret, and
    with it all first roots: shares under signatures of the incarnation keys."""
    return """
principal Consumer[
	c_ctx = HASH(inc_pub_c, inc_pub_p)
	generates x_0
	gx_0 = PUBKEY(x_0)
	signed_q_0 = SIGN(inc_c, HASH(label_ticket, c_ctx, gx_0))
]
Consumer -> Producer: gx_0, signed_q_0
principal Producer[
	p_ctx = HASH(inc_pub_c, inc_pub_p)
	_ = SIGNVERIF(inc_pub_c, HASH(label_ticket, p_ctx, gx_0), signed_q_0)?
	generates y_0, response_1
	gy_0 = PUBKEY(y_0)
	signed_s_0 = SIGN(inc_p, HASH(label_receipt, p_ctx, gx_0, gy_0))
	p_kq, p_ks = HKDF(p_ctx, DH_KEX(gx_0, y_0), nil)
	sent_s_1 = HASH(response_1)
	sealed_s_1 = AEAD_ENC(p_ks, nonce, response_1, p_ctx)
]
Producer -> Consumer: gy_0, signed_s_0, sealed_s_1
principal Consumer[
	_ = SIGNVERIF(inc_pub_p, HASH(label_receipt, c_ctx, gx_0, gy_0), signed_s_0)?
	c_kq, c_ks = HKDF(c_ctx, DH_KEX(gy_0, x_0), nil)
	c_response_1 = AEAD_DEC(c_ks, nonce, sealed_s_1, c_ctx)?
	taken_s_1 = HASH(c_response_1)
	generates request_1
	sent_q_1 = HASH(request_1)
	sealed_q_1 = AEAD_ENC(c_kq, nonce, request_1, c_ctx)
]
Consumer -> Producer: sealed_q_1
principal Producer[
	p_request_1 = AEAD_DEC(p_kq, nonce, sealed_q_1, p_ctx)?
	taken_q_1 = HASH(p_request_1)
]
"""


def mint(leaks: bool) -> str:
    """The control plane mints a secret and seals it to both incarnations. Where it leaks,
    the attacker may put any other in its place."""
    kept = lambda name: name if leaks else f"[{name}]"
    leak = "\n	leaks minted" if leaks else ""
    ends = "".join(f"""
principal {name}[
	minted_{e} = PKE_DEC(hpke_{e}, for_{e})
	{e}_ctx = HASH(inc_pub_c, inc_pub_p)
	{e}_rc_0, {e}_rp_0 = HKDF(minted_{e}, {e}_ctx, nil)
	{e}_ts_m = HASH(label_opening, {e}_ctx)
]
""" for name, e in (("Consumer", "c"), ("Producer", "p")))
    return f"""
Consumer -> ControlPlane: [hpke_pub_c]
Producer -> ControlPlane: [hpke_pub_p]
principal ControlPlane[
	generates minted
	for_c = PKE_ENC(hpke_pub_c, minted)
	for_p = PKE_ENC(hpke_pub_p, minted){leak}
]
ControlPlane -> Consumer: {kept("for_c")}
ControlPlane -> Producer: {kept("for_p")}
{ends}"""


def rekey(end: str, root: str, name: str, n: int, ikm: str, parent: bool) -> str:
    """Key, commitment and next root of a message. `parent`: as an earlier draft had it,
    where the root that is kept leads to the key."""
    if parent:
        return f"""
	{end}_{root}_{n + 1} = HKDF({end}_{root}_{n}, {ikm}, nil)
	{end}_k{name}_{n}, {end}_m{name}_{n} = HKDF({end}_{root}_{n + 1}, label_opening, nil)"""
    return f"""
	{end}_k{name}_{n}, {end}_m{name}_{n}, {end}_{root}_{n + 1} = HKDF({end}_{root}_{n}, {ikm}, nil)"""


def exchange(n: int, parent: bool, unsigned: bool, opened: bool) -> str:
    """One exchange; 0 opens the lane, carries no payload, and agrees on no secret in its
    ticket. `unsigned`: its receipt is believed for its commitment alone. `opened`: the
    attacker leaves the opening as it is, which makes the search shorter."""
    opening = n == 0
    before = "m" if opening else str(n - 1)
    agreed = lambda share, secret: f"DH_KEX({share}, {secret})"
    previous = lambda e: f"HASH(label_opening, {e}_ctx, nil)" if opening else f"{e}_bs_{n - 1}"
    ikm = lambda e, share, secret: (
        f"{e}_tq_{n}" if opening else f"HASH({agreed(share, secret)}, {e}_tq_{n})")
    c_ikm, p_ikm = ikm("c", f"gy_{n - 1}", f"x_{n}"), ikm("p", f"gx_{n}", f"y_{n - 1}")
    back = lambda e, share, secret: f"HASH({agreed(share, secret)}, {e}_ts_{n})"
    commit = lambda r, payload: f"MAC({r}, {payload})"
    q = s = unsealed = read = seal = answer = ""
    q_com = s_com = "nil"
    wire, reply = [f"gx_{n}", f"c_mq_{n}", f"signed_q_{n}"], [f"gy_{n}", f"p_ms_{n}", f"signed_s_{n}"]
    if not opening:
        q = f"""
	generates request_{n}, rq_{n}
	com_q_{n} = {commit(f"rq_{n}", f"request_{n}")}
	sent_q_{n} = HASH(request_{n})"""
        seal = f"""
	sealed_q_{n} = AEAD_ENC(c_kq_{n}, nonce, CONCAT(rq_{n}, request_{n}), c_bq_{n})"""
        unsealed = f"""
	p_opened_{n} = AEAD_DEC(p_kq_{n}, nonce, sealed_q_{n}, p_bq_{n})?
	p_rq_{n}, p_request_{n} = SPLIT(p_opened_{n})
	_ = ASSERT({commit(f"p_rq_{n}", f"p_request_{n}")}, com_q_{n})?
	taken_q_{n} = HASH(p_request_{n})"""
        s = f"""
	generates response_{n}, rs_{n}
	com_s_{n} = {commit(f"rs_{n}", f"response_{n}")}
	sent_s_{n} = HASH(response_{n})"""
        answer = f"""
	sealed_s_{n} = AEAD_ENC(p_ks_{n}, nonce, CONCAT(rs_{n}, response_{n}), p_bs_{n})"""
        read = f"""
	c_opened_{n} = AEAD_DEC(c_ks_{n}, nonce, sealed_s_{n}, c_bs_{n})?
	c_rs_{n}, c_response_{n} = SPLIT(c_opened_{n})
	_ = ASSERT({commit(f"c_rs_{n}", f"c_response_{n}")}, com_s_{n})?
	taken_s_{n} = HASH(c_response_{n})"""
        q_com, s_com = f"com_q_{n}", f"com_s_{n}"
        wire += [q_com, f"sealed_q_{n}"]
        reply += [s_com, f"sealed_s_{n}"]
    if opening and opened:
        wire, reply = [f"[{value}]" for value in wire], [f"[{value}]" for value in reply]
    check = "" if unsigned and opening else f"""
	_ = SIGNVERIF(inc_pub_p, HASH(label_receipt, c_ctx, c_bs_{n}), signed_s_{n})?"""
    return f"""
principal Consumer[
	generates x_{n}
	gx_{n} = PUBKEY(x_{n}){q}
	c_tq_{n} = HASH(c_ts_{before}, {previous("c")}, gx_{n}, {q_com}){rekey("c", "rc", "q", n, c_ikm, parent)}
	c_bq_{n} = HASH({previous("c")}, gx_{n}, {q_com}, c_mq_{n})
	signed_q_{n} = SIGN(inc_c, HASH(label_ticket, c_ctx, c_bq_{n})){seal}
]
Consumer -> Producer: {", ".join(wire)}
principal Producer[
	p_bq_{n} = HASH({previous("p")}, gx_{n}, {q_com}, c_mq_{n})
	_ = SIGNVERIF(inc_pub_c, HASH(label_ticket, p_ctx, p_bq_{n}), signed_q_{n})?
	p_tq_{n} = HASH(p_ts_{before}, {previous("p")}, gx_{n}, {q_com}){rekey("p", "rc", "q", n, p_ikm, parent)}
	_ = ASSERT(p_mq_{n}, c_mq_{n})?{unsealed}
	generates y_{n}
	gy_{n} = PUBKEY(y_{n}){s}
	p_ts_{n} = HASH(p_tq_{n}, p_bq_{n}, gy_{n}, {s_com}){rekey("p", "rp", "s", n, back("p", f"gx_{n}", f"y_{n}"), parent)}
	p_bs_{n} = HASH(p_bq_{n}, gy_{n}, {s_com}, p_ms_{n})
	signed_s_{n} = SIGN(inc_p, HASH(label_receipt, p_ctx, p_bs_{n})){answer}
]
Producer -> Consumer: {", ".join(reply)}
principal Consumer[
	c_bs_{n} = HASH(c_bq_{n}, gy_{n}, {s_com}, p_ms_{n}){check}
	c_ts_{n} = HASH(c_tq_{n}, c_bq_{n}, gy_{n}, {s_com}){rekey("c", "rp", "s", n, back("c", f"gy_{n}", f"x_{n}"), parent)}
	_ = ASSERT(c_ms_{n}, p_ms_{n})?{read}
]
"""


def rekeying(unsigned: bool) -> str:
    """Streams re-key, with what is sealed after it. The minted secret stands for the root of
    the exchange's streams. `unsigned`: the sub-receipt is believed for its commitment alone."""
    check = "" if unsigned else """
	_ = SIGNVERIF(inc_pub_p, HASH(label_receipt, c_ctx, c_bs_1), signed_s_1)?"""
    return f"""
principal Consumer[
	generates x_1
	gx_1 = PUBKEY(x_1)
	c_bq_1 = HASH(label_ticket, c_ts_m, gx_1)
	signed_q_1 = SIGN(inc_c, HASH(label_ticket, c_ctx, c_bq_1))
]
Consumer -> Producer: gx_1, signed_q_1
principal Producer[
	p_bq_1 = HASH(label_ticket, p_ts_m, gx_1)
	_ = SIGNVERIF(inc_pub_c, HASH(label_ticket, p_ctx, p_bq_1), signed_q_1)?
	generates y_1, response_1
	gy_1 = PUBKEY(y_1)
	p_s_1 = HASH(p_ts_m, p_bq_1, gy_1)
	p_kq_1, p_ks_1, p_m_1, p_z_1 = HKDF(minted_p, HASH(DH_KEX(gx_1, y_1), p_s_1), nil)
	p_bs_1 = HASH(p_bq_1, gy_1, p_m_1)
	signed_s_1 = SIGN(inc_p, HASH(label_receipt, p_ctx, p_bs_1))
	sent_s_1 = HASH(response_1)
	sealed_s_1 = AEAD_ENC(p_ks_1, nonce, response_1, p_ctx)
]
Producer -> Consumer: gy_1, p_m_1, signed_s_1, sealed_s_1
principal Consumer[
	c_bs_1 = HASH(c_bq_1, gy_1, p_m_1){check}
	c_s_1 = HASH(c_ts_m, c_bq_1, gy_1)
	c_kq_1, c_ks_1, c_m_1, c_z_1 = HKDF(minted_c, HASH(DH_KEX(gy_1, x_1), c_s_1), nil)
	_ = ASSERT(c_m_1, p_m_1)?
	c_response_1 = AEAD_DEC(c_ks_1, nonce, sealed_s_1, c_ctx)?
	taken_s_1 = HASH(c_response_1)
	generates request_1
	sent_q_1 = HASH(request_1)
	sealed_q_1 = AEAD_ENC(c_kq_1, nonce, request_1, c_ctx)
]
Consumer -> Producer: sealed_q_1
principal Producer[
	p_request_1 = AEAD_DEC(p_kq_1, nonce, sealed_q_1, p_ctx)?
	taken_q_1 = HASH(p_request_1)
]
"""


def asked() -> str:
    """A sub-ticket and its sub-receipt, each signed and checked, and the epoch that they lead to.
    The minted secret stands for the root of the exchange's streams, the lane's first root of the
    consumer for the key of the epoch before; that ends where the sub-ticket says."""
    return """
principal Consumer[
	generates old_1, x_1
	gx_1 = PUBKEY(x_1)
	mark_1 = HASH(old_1)
	c_bq_1 = HASH(label_ticket, c_ts_m, mark_1, gx_1)
	signed_q_1 = SIGN(inc_c, HASH(label_ticket, c_ctx, c_bq_1))
]
Consumer -> Producer: mark_1, gx_1, signed_q_1
principal Producer[
	p_bq_1 = HASH(label_ticket, p_ts_m, mark_1, gx_1)
	_ = SIGNVERIF(inc_pub_c, HASH(label_ticket, p_ctx, p_bq_1), signed_q_1)?
	generates y_1
	gy_1 = PUBKEY(y_1)
	p_s_1 = HASH(p_ts_m, p_bq_1, gy_1)
	p_kq_1, p_ks_1, p_m_1, p_z_1 = HKDF(minted_p, HASH(DH_KEX(gx_1, y_1), p_s_1), nil)
	p_bs_1 = HASH(p_bq_1, gy_1, p_m_1)
	signed_s_1 = SIGN(inc_p, HASH(label_receipt, p_ctx, p_bs_1))
]
Producer -> Consumer: gy_1, p_m_1, signed_s_1
principal Consumer[
	c_bs_1 = HASH(c_bq_1, gy_1, p_m_1)
	_ = SIGNVERIF(inc_pub_p, HASH(label_receipt, c_ctx, c_bs_1), signed_s_1)?
	c_s_1 = HASH(c_ts_m, c_bq_1, gy_1)
	c_kq_1, c_ks_1, c_m_1, c_z_1 = HKDF(minted_c, HASH(DH_KEX(gy_1, x_1), c_s_1), nil)
	_ = ASSERT(c_m_1, p_m_1)?
]
"""


def then_a_receipt(switched: bool) -> str:
    """All that both ends hold inside a stream is copied: the roots of lane and streams, the
    private half of the ticket's share, every signing key. Then they re-key, and the receipt comes.
    `switched`: its content is sealed in the epoch and not under the receipt's key, as the protocol has it."""
    key = lambda end: f"{end}_ks_1" if switched else f"{end}_kr_1"
    return f"""
principal Consumer[
	generates x_t
	gx_t = PUBKEY(x_t)
	leaks minted_c, c_rc_0, c_rp_0, x_t, inc_c, hpke_c
]
Consumer -> Producer: gx_t
principal Producer[
	leaks inc_p, hpke_p
]
{asked()}
principal Producer[
	generates y_t, response_1
	gy_t = PUBKEY(y_t)
	p_kr_1, p_rp_1 = HKDF(p_rp_0, HASH(DH_KEX(gx_t, y_t), p_bs_1), nil)
	p_rp_2 = HKDF(p_rp_1, p_z_1, nil)
	sealed_s_1 = AEAD_ENC({key("p")}, nonce, response_1, p_ctx)
]
Producer -> Consumer: gy_t, sealed_s_1
principal Consumer[
	c_kr_1, c_rp_1 = HKDF(c_rp_0, HASH(DH_KEX(gy_t, x_t), c_bs_1), nil)
	c_rp_2 = HKDF(c_rp_1, c_z_1, nil)
	c_response_1 = AEAD_DEC({key("c")}, nonce, sealed_s_1, c_ctx)?
	generates request_1
	sealed_q_1 = AEAD_ENC(c_kq_1, nonce, request_1, c_ctx)
]
Consumer -> Producer: sealed_q_1
"""


def then_a_forger(bounded: bool) -> str:
    """Streams re-key, and then the key of the epoch before leaks, its root, and the sender's
    signing key. `bounded`: the receiver takes the epoch before no further than it was said to
    reach, so that what comes is of the next one, with a checkpoint that says so."""
    key, place = ("kq_1", "s_1") if bounded else ("rc_0", "ts_m")
    return f"""{asked()}
phase[1]
principal Consumer[
	leaks inc_c, c_rc_0, minted_c
]
principal Consumer[
	generates request_1
	sent_q_1 = HASH(request_1)
	checkpoint_1 = SIGN(inc_c, HASH(label_ticket, c_{place}, sent_q_1))
	sealed_q_1 = AEAD_ENC(c_{key}, nonce, request_1, c_ctx)
]
Consumer -> Producer: sealed_q_1, checkpoint_1
principal Producer[
	p_request_1 = AEAD_DEC(p_{key}, nonce, sealed_q_1, p_ctx)?
	taken_q_1 = HASH(p_request_1)
	_ = SIGNVERIF(inc_pub_c, HASH(label_ticket, p_{place}, taken_q_1), checkpoint_1)?
]
"""


# When something leaks.
BEFORE = -1
LAST = EXCHANGES - 1


@dataclass
class Scenario:
    """What leaks after which exchange, and what is asked; True: must hold."""

    name: str
    requirement: str
    queries: dict[str, bool]
    leaks: list[str] = field(default_factory=list)
    after: int = LAST
    vouched: str = STARTED
    # The attacker knows the minted secret from the beginning, and may choose another.
    minted: bool = False
    # The opening included, which the attacker leaves alone if there are more than two.
    exchanges: int = EXCHANGES
    parent: bool = False
    unsigned: bool = False
    # A stream that re-keys in the place of exchanges, or what else goes on in it.
    stream: bool = False
    inside: str = ""
    attacker: str = "active"
    verdicts: dict[str, bool] = field(default_factory=dict)

    def model(self) -> str:
        parts = [f"attacker[{self.attacker}]\n", identities(self.vouched)]
        parts.append(mint(self.minted) if self.vouched == STARTED else shares())
        exchanges = self.exchanges if self.vouched == STARTED and not self.stream else 0
        if self.stream:
            parts.append(self.inside or rekeying(self.unsigned))
        for n in range(BEFORE, max(exchanges, self.after + 1 if self.stream else 0)):
            if 0 <= n < exchanges:
                opened = self.exchanges == EXCHANGES
                parts.append(exchange(n, self.parent, self.unsigned, opened))
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
            capture_output=True, check=False, text=True, timeout=900)
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


def from_to(*exchanges: int) -> dict[str, bool]:
    """What either end takes is what the other sent."""
    return {query: True for n in exchanges for query in (
        f"authentication? Consumer -> Producer: sealed_q_{n}",
        f"authentication? Producer -> Consumer: sealed_s_{n}",
        f"equivalence? sent_q_{n}, taken_q_{n}",
        f"equivalence? sent_s_{n}, taken_s_{n}")}


PAYLOADS = [f"{kind}_{n}" for n in range(1, EXCHANGES) for kind in ("request", "response")]
BLINDINGS = [f"{kind}_{n}" for n in range(1, EXCHANGES) for kind in ("rq", "rs")]
ALL = {**secret(*PAYLOADS), **from_to(*range(1, EXCHANGES))}
FIRST = {**secret("request_1", "response_1"), **from_to(1)}
IDLE_1 = ["c:c_rc_2", "c:c_rp_2"]
KEYS = ["c:inc_c", "c:hpke_c", "p:inc_p", "p:hpke_p"]

SCENARIOS = [
    Scenario("identities: an honest log", "R11", FIRST, vouched=LOG),
    Scenario("identities: a pin, a lying log, a known secret", "R11", FIRST,
             vouched=PIN),
    Scenario("identities: no pin, a lying log, a known secret", "R11 fails", {
        **lost("request_1", "response_1"),
        "authentication? Consumer -> Producer: sealed_q_1": False,
        "authentication? Producer -> Consumer: sealed_s_1": False}, vouched=LIAR),
    Scenario("opening: nothing leaks", "R4", {**FIRST, **secret("rq_1", "rs_1")}, exchanges=2),
    Scenario("opening: the minted secret leaks before", "R8, R11", FIRST, minted=True, exchanges=2),
    Scenario("opening: its receipt is not signed", "R11 fails", lost("request_1"),
             minted=True, unsigned=True, exchanges=2),
    Scenario("nothing leaks", "R4", {**ALL, **secret(*BLINDINGS)}),
    Scenario("an AEAD key leaks", "R1, R2", {
        **lost("request_1", "rq_1"),
        **secret("response_1", "request_2", "response_2", "c_rc_1", "c_rc_2", "c_rc_3", "rq_2")},
        ["c:c_kq_1"]),
    Scenario("an AEAD key leaks in between", "R1, R11", {
        **secret("request_2", "response_2"), **from_to(2)}, ["c:c_kq_1"], 1),
    Scenario("the consumer's root leaks in between", "R3", {
        **secret(*PAYLOADS, "c_rc_3", "c_rc_1"), **from_to(2)}, ["c:c_rc_2"], 1),
    Scenario("the producer's root leaks in between", "R3", {
        **secret(*PAYLOADS, "p_rp_3", "p_rp_1"), **from_to(2)}, ["p:p_rp_2"], 1),
    Scenario("both roots leak in between", "R3", {
        **secret(*PAYLOADS, "c_rc_3"), **from_to(2)}, IDLE_1, 1),
    Scenario("an idle consumer's whole state leaks, passive attacker", "R3, R5",
             secret(*PAYLOADS), [*IDLE_1, "c:inc_c", "c:hpke_c"], 1, attacker="passive"),
    Scenario("both ends' keys leak in the end", "R5", secret(*PAYLOADS), KEYS),
    Scenario("an idle consumer's whole state leaks in the end", "R5",
             secret(*PAYLOADS, f"c_rc_{LAST}", f"c_rp_{LAST}"),
             ["c:inc_c", "c:hpke_c", f"c:c_rc_{EXCHANGES}", f"c:c_rp_{EXCHANGES}"]),
    Scenario("the minted secret leaks in the end", "R8", secret(*PAYLOADS), ["c:minted_c"]),
    Scenario("the consumer's ephemerals leak, roots do not", "R8", secret(*PAYLOADS),
             [f"c:x_{n}" for n in range(EXCHANGES)]),
    Scenario("the producer's ephemerals leak, roots do not", "R8", secret(*PAYLOADS),
             [f"p:y_{n}" for n in range(EXCHANGES)]),
    Scenario("a stream re-keys: nothing leaks", "R4", FIRST, stream=True),
    Scenario("a stream re-keys: its root leaked before", "R3, R8", {**FIRST, **secret("c_z_1")},
             stream=True, minted=True),
    Scenario("a stream re-keys: its next root leaks", "R5", secret("request_1", "response_1"),
             ["c:c_z_1"], stream=True),
    Scenario("a stream re-keys: a key of one direction leaks", "R1, R2", {
        **lost("request_1"), **secret("response_1", "c_z_1")}, ["c:c_kq_1"], stream=True),
    Scenario("a stream re-keys: both ends' keys leak in the end", "R5",
             secret("request_1", "response_1"), [*KEYS, "c:minted_c"], stream=True),
    Scenario("a stream re-keys: all was stolen, a receipt follows", "R3, R5",
             secret("request_1", "response_1", "c_z_1", "c_rp_2"), stream=True,
             inside=then_a_receipt(True), attacker="passive"),
    Scenario("a stream re-keys: the key before and signing key leak", "R2, R6", {
        **secret("request_1"), "authentication? Consumer -> Producer: sealed_q_1": True,
        "equivalence? sent_q_1, taken_q_1": True}, stream=True, inside=then_a_forger(True)),
    Scenario("control: the receipt's content is sealed under its own key", "R3 fails", {
        **lost("response_1"), **secret("request_1")}, stream=True,
             inside=then_a_receipt(False), attacker="passive"),
    Scenario("control: an epoch has no end", "R2 fails", {
        "authentication? Consumer -> Producer: sealed_q_1": False,
        "equivalence? sent_q_1, taken_q_1": False}, stream=True, inside=then_a_forger(False)),
    Scenario("control: a sub-receipt is not signed", "R8 fails", lost("request_1"), stream=True,
             minted=True, unsigned=True),
    Scenario("control: kept roots that lead to keys", "R5 fails", {
        **lost(f"request_{LAST}"), **secret("request_1")}, [f"c:c_rc_{EXCHANGES}"], parent=True),
    Scenario("control: minted secret and one end's ephemerals leak", "all fails",
             lost(*PAYLOADS), ["c:minted_c", *(f"c:x_{n}" for n in range(EXCHANGES))]),
    Scenario("control: a copied consumer acts", "the ledger's part", {
        "authentication? Consumer -> Producer: sealed_q_2": False,
        **lost("response_2"), **secret("request_1", "response_1")},
        [*IDLE_1, "c:inc_c"], 1),
]


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--verifpal", default="verifpal", help="the program")
    options.add_argument("--sessions", type=int, default=1, help="lanes at once")
    options.add_argument("--only", default="", help="scenarios whose name holds this")
    options = options.parse_args()
    wrong = 0
    print(f"{'scenario':58} {'requirement':17} {'hold':>5} {'broken':>7}  as expected")
    with tempfile.TemporaryDirectory() as folder:
        for scenario in SCENARIOS:
            if options.only not in scenario.name:
                continue
            # The row is completed once it was analysed, which takes minutes for some.
            print(f"{scenario.name:58} {scenario.requirement:17} ", end="", flush=True)
            scenario.check(options.verifpal, Path(folder), options.sessions)
            held = sum(scenario.verdicts.values())
            right = scenario.verdicts == scenario.queries
            wrong += not right
            print(f"{held:>5} {len(scenario.queries) - held:>7}  "
                  f"{'yes' if right else scenario.verdicts}", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

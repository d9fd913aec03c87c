import { useRef, useState } from "react";

import { type Api, type Pair, answer } from "../api/client";
import type { SignedIn } from "../auth";
import { type Health, health } from "../live/health";
import type { World } from "../live/useWorld";

export function Pairs(props: { me: SignedIn; world: World; refresh: () => void }) {
  const { pairs } = props.world;
  return (
    <section aria-labelledby="pairs">
      <h2 id="pairs">Pairs</h2>
      {pairs.length === 0 ? (
        <p>
          No pairs yet. Create one with <code>armour pairs create</code>.
        </p>
      ) : (
        <div className="scroll">
          <table>
            <thead>
              <tr>
                <th scope="col">Consumer</th>
                <th scope="col">Producer</th>
                <th scope="col">State</th>
                <th scope="col">Exchanges</th>
                <th scope="col">Suite</th>
                <th scope="col">Reports</th>
                <th scope="col">Act</th>
              </tr>
            </thead>
            <tbody>
              {pairs.map((pair) => (
                <Row key={pair.id} pair={pair} {...props} />
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}

function Row(props: { pair: Pair; me: SignedIn; world: World; refresh: () => void }) {
  const { pair, world } = props;
  const now = Date.now();
  const of = (party: string) =>
    health(
      world.endpoints.filter((endpoint) => endpoint.party_id === party),
      pair,
      now,
    );
  const bundle = world.bundles.find(
    (candidate) => candidate.pair_id === pair.id && candidate.state === "active",
  );
  return (
    <tr data-state={pair.state}>
      <th scope="row">
        {pair.consumer_name} <Badge health={of(pair.consumer_id)} />
      </th>
      <td>
        {pair.producer_name} <Badge health={of(pair.producer_id)} />
      </td>
      <td>
        <span className={`state ${pair.state}`}>{pair.state}</span>
      </td>
      <td className="number">{bundle ? bundle.exchanges.toLocaleString() : "–"}</td>
      <td className="number">{pair.policy.suite}</td>
      <td>{pair.policy.reporting}</td>
      <td>
        {/* Of an auditor the control plane would refuse it. */}
        {pair.state === "disconnected" && props.me.who.role !== "auditor" && (
          <ReArm pair={pair} api={props.me.api} refresh={props.refresh} />
        )}
      </td>
    </tr>
  );
}

function Badge(props: { health: Health }) {
  const text = { healthy: "healthy", silent: "silent", none: "no endpoint" }[props.health];
  return <span className={`badge ${props.health}`}>{text}</span>;
}

function ReArm(props: { pair: Pair; api: Api; refresh: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [reason, setReason] = useState("");
  const [error, setError] = useState<string>();
  const reArm = async () => {
    try {
      await answer(
        props.api.POST("/v1/pairs/{id}/re-arm", {
          params: { path: { id: props.pair.id } },
          body: { reason },
        }),
      );
      dialog.current?.close();
      props.refresh();
    } catch (failure) {
      setError(failure instanceof Error ? failure.message : String(failure));
    }
  };
  return (
    <>
      <button type="button" onClick={() => dialog.current?.showModal()}>
        Re-arm…
      </button>
      <dialog ref={dialog} aria-labelledby={`re-arm-${props.pair.id}`}>
        <form
          method="dialog"
          onSubmit={(event) => {
            event.preventDefault();
            void reArm();
          }}
        >
          <h3 id={`re-arm-${props.pair.id}`}>
            Re-arm {props.pair.consumer_name} and {props.pair.producer_name}
          </h3>
          <p>A new secret is minted. Find out first how the consumer’s state was copied.</p>
          <label>
            Reason, kept in the audit log
            <input
              required
              maxLength={500}
              value={reason}
              onChange={(event) => setReason(event.target.value)}
            />
          </label>
          {error && <p role="alert">{error}</p>}
          <div className="actions">
            <button type="button" onClick={() => dialog.current?.close()}>
              Cancel
            </button>
            <button type="submit" className="primary">
              Re-arm
            </button>
          </div>
        </form>
      </dialog>
    </>
  );
}

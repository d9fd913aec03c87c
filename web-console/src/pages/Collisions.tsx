import type { Collision, Pair } from "../api/client";
import { Time } from "./Time";

const MEANING: Record<Collision["kind"], string> = {
  fork: "Two different successors of one ticket were signed with the consumer’s key.",
  superseded: "A superseded bundle was used after its grace.",
  disowned: "The ledger held a ticket that the consumer never issued.",
};

export function Collisions(props: { collisions: Collision[]; pairs: Pair[] }) {
  const name = (id: string) => {
    const pair = props.pairs.find((candidate) => candidate.id === id);
    return pair ? `${pair.consumer_name} → ${pair.producer_name}` : id;
  };
  return (
    <section aria-labelledby="collisions" aria-live="polite">
      <h2 id="collisions">Collisions</h2>
      {props.collisions.length === 0 && <p>None: nobody else has used a consumer’s state.</p>}
      <ul className="collisions">
        {props.collisions.slice(0, 10).map((collision) => (
          <li key={collision.id} data-testid="collision">
            <strong>{name(collision.pair_id)}</strong>{" "}
            <span className="badge silent">{collision.kind}</span>{" "}
            <Time at={collision.detected_at} />
            <p>
              {MEANING[collision.kind]} Lane {collision.lane}, exchange {collision.n}. Every ticket of
              bundle <code>{collision.bundle_id}</code> is dead.
            </p>
            {collision.recorded && collision.reported && (
              <details>
                <summary>Evidence: both signed tickets</summary>
                <dl>
                  <dt>Recorded</dt>
                  <dd>
                    <code>{collision.recorded}</code>
                  </dd>
                  <dt>Reported</dt>
                  <dd>
                    <code>{collision.reported}</code>
                  </dd>
                </dl>
              </details>
            )}
          </li>
        ))}
      </ul>
    </section>
  );
}

import type { ArmourEvent } from "../api/client";
import { Time } from "./Time";

export function Events(props: { events: ArmourEvent[] }) {
  return (
    <section aria-labelledby="events">
      <h2 id="events">Events, as they happen</h2>
      {props.events.length === 0 ? (
        <p>Nothing since this page was opened.</p>
      ) : (
        <ol className="events" reversed>
          {props.events.map((event) => (
            <li key={event.seq} className={event.kind.startsWith("collision") ? "alarm" : ""}>
              <Time at={event.created_at} /> <strong>{event.kind}</strong>{" "}
              <code>{JSON.stringify(event.detail)}</code>
            </li>
          ))}
        </ol>
      )}
    </section>
  );
}

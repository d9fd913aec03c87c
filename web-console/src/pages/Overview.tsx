import type { Api } from "../api/client";
import { useWorld } from "../live/useWorld";
import { Collisions } from "./Collisions";
import { Events } from "./Events";
import { Pairs } from "./Pairs";
import { Time } from "./Time";

export function Overview(props: {
  api: Api;
  token: string;
  signOut: () => void;
  refused: () => void;
}) {
  const { world, events, staleSince, error, refresh } = useWorld(
    props.api,
    props.token,
    props.refused,
  );
  return (
    <>
      <header>
        <h1>Armour</h1>
        <p className={staleSince ? "stale" : "live"} role="status">
          {staleSince ? (
            <>
              Stale since <Time at={staleSince.toISOString()} />
            </>
          ) : (
            "Live"
          )}
        </p>
        <button type="button" onClick={props.signOut}>
          Sign out
        </button>
      </header>
      <main>
        {error && <p role="alert">{error}</p>}
        {world === undefined ? (
          <p>Loading…</p>
        ) : (
          <>
            <Pairs api={props.api} world={world} refresh={refresh} />
            <Collisions collisions={world.collisions} pairs={world.pairs} />
            <Events events={events} />
          </>
        )}
      </main>
    </>
  );
}

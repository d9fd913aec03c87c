import { useEffect, useState } from "react";

import type { SignedIn } from "../auth";
import { useWorld } from "../live/useWorld";
import { Collisions } from "./Collisions";
import { Events } from "./Events";
import { Pairs } from "./Pairs";
import { Sessions } from "./Sessions";
import { Time } from "./Time";

const SESSIONS = "#sessions";

export function Overview(props: { me: SignedIn; signOut: () => void; refused: () => void }) {
  const { me } = props;
  const { world, events, staleSince, error, refresh } = useWorld(me, props.refused);
  const place = usePlace();
  return (
    <>
      <header>
        <h1>
          <a href="#">Armour</a>
        </h1>
        <p className={staleSince ? "stale" : "live"} role="status">
          {staleSince ? (
            <>
              Stale since <Time at={staleSince.toISOString()} />
            </>
          ) : (
            "Live"
          )}
        </p>
        <p className="me">
          {me.who.name} <span className="badge">{me.who.role}</span>
        </p>
        <nav aria-label="Pages">
          <a href={SESSIONS} aria-current={place === SESSIONS ? "page" : undefined}>
            Sessions
          </a>
        </nav>
        <button type="button" onClick={props.signOut}>
          Sign out
        </button>
      </header>
      <main>
        {error && <p role="alert">{error}</p>}
        {place === SESSIONS ? (
          <Sessions me={me} refused={props.refused} />
        ) : world === undefined ? (
          <p>Loading…</p>
        ) : (
          <>
            <Pairs me={me} world={world} refresh={refresh} />
            <Collisions collisions={world.collisions} pairs={world.pairs} />
            <Events events={events} />
          </>
        )}
      </main>
    </>
  );
}

/** The address's fragment, which names the page. */
function usePlace(): string {
  const [place, setPlace] = useState(window.location.hash);
  useEffect(() => {
    const moved = () => setPlace(window.location.hash);
    window.addEventListener("hashchange", moved);
    return () => window.removeEventListener("hashchange", moved);
  }, []);
  return place;
}

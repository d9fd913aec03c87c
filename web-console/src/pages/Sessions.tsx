import { useCallback, useEffect, useState } from "react";

import { Refused, type Session, all } from "../api/client";
import type { SignedIn } from "../auth";
import { Time } from "./Time";

/** The caller's sessions, for an administrator everybody's; each can be ended. */
export function Sessions(props: { me: SignedIn; refused: () => void }) {
  const { me, refused } = props;
  const [sessions, setSessions] = useState<Session[]>();
  const [error, setError] = useState("");

  const guard = useCallback(
    async (work: () => Promise<void>) => {
      try {
        await work();
        setError("");
      } catch (failure) {
        if (failure instanceof Refused && failure.status === 401) {
          refused();
        }
        setError(failure instanceof Error ? failure.message : String(failure));
      }
    },
    [refused],
  );
  const read = useCallback(
    () =>
      guard(async () => {
        const found = await all<Session>((cursor) =>
          me.api.GET("/v1/sessions", {
            params: { query: cursor === undefined ? {} : { cursor } },
          }),
        );
        setSessions(found);
      }),
    [guard, me],
  );
  useEffect(() => {
    void read();
  }, [read]);

  const end = (id: string) =>
    guard(async () => {
      const { error: problem, response } = await me.api.DELETE("/v1/sessions/{id}", {
        params: { path: { id } },
      });
      if (problem) {
        throw new Refused(response.status, problem);
      }
      await read();
    });

  return (
    <section aria-labelledby="sessions">
      <h2 id="sessions">{me.who.role === "tenant-admin" ? "Everybody’s sessions" : "Your sessions"}</h2>
      {error && <p role="alert">{error}</p>}
      {sessions === undefined ? (
        <p>Loading…</p>
      ) : sessions.length === 0 ? (
        <p>Nobody has signed in yet.</p>
      ) : (
        <div className="scroll">
          <table>
            <thead>
              <tr>
                <th scope="col">Person</th>
                <th scope="col">Role</th>
                <th scope="col">Browser</th>
                <th scope="col">Began</th>
                <th scope="col">Last used</th>
                <th scope="col">State</th>
                <th scope="col">Act</th>
              </tr>
            </thead>
            <tbody>
              {sessions.map((session) => (
                <tr key={session.id}>
                  <th scope="row">{session.name}</th>
                  <td>{session.role}</td>
                  <td className="agent" title={session.user_agent}>
                    {browser(session.user_agent)}
                  </td>
                  <td>
                    <Time at={session.created_at} />
                  </td>
                  <td>
                    <Time at={session.last_used_at} />
                  </td>
                  <td>
                    {session.ended_at ? "ended" : session.current ? "this one" : "active"}
                  </td>
                  <td>
                    {!session.ended_at && (
                      <button type="button" onClick={() => void end(session.id)}>
                        End
                      </button>
                    )}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}

/** The browser's name and version, where the text has one of the usual forms. */
function browser(agent: string): string {
  const found = /(Firefox|Edg|Chrome|Version)\/([\d]+)/.exec(agent);
  return found ? `${found[1]} ${found[2]}` : agent.slice(0, 20);
}

import { Text } from "@mantine/core";

import { Timestamp } from "../components/Timestamp";
import { t } from "../lib/strings";
import { useLive } from "../live/LiveProvider";

/** Whether what is shown is live, or since when it has been stale. */
export function LiveStatus() {
  const { staleSince } = useLive();
  return (
    <Text size="sm" role="status" className={staleSince ? "bad" : "good"} fw={600}>
      {staleSince ? (
        <>
          {t.staleSince} <Timestamp at={staleSince.toISOString()} />
        </>
      ) : (
        t.live
      )}
    </Text>
  );
}

import { Badge } from "@mantine/core";

/** A state as a word, coloured by whether it is good or bad. */
export function StateBadge(props: { state: string }) {
  const good = ["active", "healthy", "delivered"].includes(props.state);
  const bad = ["disconnected", "lost", "failed", "revoked", "collided", "disabled"].includes(props.state);
  return (
    <Badge
      variant="default"
      tt="none"
      miw="max-content"
      className={good ? "good" : bad ? "bad" : "quiet"}
    >
      {props.state}
    </Badge>
  );
}

/** A time in the reader's zone, with UTC on hover. */
export function Timestamp(props: { at: string | null | undefined; emptyText?: string }) {
  if (!props.at) {
    return <>{props.emptyText ?? "–"}</>;
  }
  const date = new Date(props.at);
  return (
    <time dateTime={props.at} title={date.toISOString()}>
      {date.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" })}
    </time>
  );
}

/** A time in the browser's time zone, with UTC as the tooltip. */
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

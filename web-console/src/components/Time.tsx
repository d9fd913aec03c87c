/** A time in the reader's zone, with UTC on hover. */
export function Time(props: { at: string | null | undefined; none?: string }) {
  if (!props.at) {
    return <>{props.none ?? "–"}</>;
  }
  const date = new Date(props.at);
  return (
    <time dateTime={props.at} title={date.toISOString()}>
      {date.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" })}
    </time>
  );
}

import { canOperate, useAuth } from "../api/AuthContext";
import { type Pair, unwrap } from "../api/client";
import { t } from "../lib/strings";
import { ReasonDialog } from "./ReasonDialog";

/** Disconnects an active pair, or re-arms a disconnected one. */
export function PairActions(props: { pair: Pair; etag: string }) {
  const auth = useAuth();
  const { pair } = props;
  if (!canOperate(auth)) {
    return null;
  }
  const path = { id: pair.id };
  return pair.state === "active" ? (
    <ReasonDialog
      label={t.pairs.disconnect}
      hint={t.pairs.disconnectHint}
      danger
      confirmText={pair.consumer_name}
      onSubmit={async (reason) => {
        await unwrap(
          auth.api.POST("/v1/pairs/{id}/disconnect", { params: { path }, body: { reason } }),
        );
      }}
    />
  ) : (
    <ReasonDialog
      label={t.pairs.reArm}
      title={`${t.pairs.reArm} ${pair.consumer_name} → ${pair.producer_name}`}
      hint={t.pairs.reArmHint}
      confirmText={pair.consumer_name}
      onSubmit={async (reason) => {
        await unwrap(
          auth.api.POST("/v1/pairs/{id}/re-arm", {
            // A pair that collided again since it was read is not re-armed.
            params: { path, header: { "If-Match": props.etag } },
            body: { reason },
          }),
        );
      }}
    />
  );
}

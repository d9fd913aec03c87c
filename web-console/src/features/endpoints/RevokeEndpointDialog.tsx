import { useAuth } from "../../api/AuthContext";
import { type Endpoint, unwrap } from "../../api/client";
import { ReasonDialog } from "../../components/ReasonDialog";
import { t } from "../../lib/strings";

export function RevokeEndpointDialog(props: { endpoint: Endpoint }) {
  const { api } = useAuth();
  const { endpoint } = props;
  return (
    <ReasonDialog
      label={t.revoke}
      hint={t.endpoints.revokeHint}
      danger
      confirmText={endpoint.name}
      onSubmit={async (reason) => {
        const path = { id: endpoint.id };
        await unwrap(api.POST("/v1/endpoints/{id}/revoke", { params: { path }, body: { reason } }));
      }}
    />
  );
}

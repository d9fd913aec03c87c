import { TextInput } from "@mantine/core";
import { useInputState } from "@mantine/hooks";

import { useAuth } from "../../api/AuthContext";
import { unwrap } from "../../api/client";
import { ActionDialog } from "../../components/ActionDialog";
import { OneTimeSecret } from "../../components/OneTimeSecret";
import { t } from "../../lib/strings";

export function NewWebhookDialog() {
  const { api } = useAuth();
  const [url, setUrl] = useInputState("");
  const [kinds, setKinds] = useInputState("*");
  return (
    <ActionDialog
      label={t.access.newWebhook}
      submitLabel={t.create}
      primary
      onSubmit={async () => {
        const body = { url, kinds: kinds.split(",").map((kind) => kind.trim()) };
        const { secret } = await unwrap(api.POST("/v1/webhooks", { body }));
        return <OneTimeSecret label={url} text={secret} />;
      }}
    >
      <TextInput
        label={t.access.url}
        required
        type="url"
        value={url}
        onChange={setUrl}
        data-autofocus
      />
      <TextInput label={t.access.kinds} required value={kinds} onChange={setKinds} />
    </ActionDialog>
  );
}

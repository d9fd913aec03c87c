import { Button, Text } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";

import { useAuth } from "../../api/AuthContext";
import { ErrorAlert } from "../../components/ErrorAlert";
import { t } from "../../lib/strings";
import { verifyLog } from "./verifyLog";

/** Verifies the whole log in this browser, and shows how many entries it has and its key. */
export function VerifyButton() {
  const { api } = useAuth();
  const run = useMutation({ mutationFn: () => verifyLog(api) });
  return (
    <>
      {run.data && (
        <Text size="sm" role="status" className="good">
          {t.audit.verified(run.data.size)} {t.audit.key(run.data.rotations)}{" "}
          <code>{run.data.key}</code>
        </Text>
      )}
      <ErrorAlert error={run.error} />
      <Button variant="default" size="xs" loading={run.isPending} onClick={() => run.mutate()}>
        {t.audit.verify}
      </Button>
    </>
  );
}

import { Button } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";

import { useAuth } from "../../api/AuthContext";
import { type Collision, unwrap } from "../../api/client";
import { ErrorAlert } from "../../components/ErrorAlert";
import { saveFile } from "../../lib/saveFile";
import { t } from "../../lib/strings";

/** Saves a collision's evidence as a file that anybody can check with `armour evidence verify`. */
export function EvidenceExportButton(props: { collision: Collision }) {
  const { api } = useAuth();
  const { id } = props.collision;
  const run = useMutation({
    mutationFn: async () => {
      const evidence = await unwrap(
        api.GET("/v1/collisions/{id}/evidence", { params: { path: { id } } }),
      );
      const text = JSON.stringify(evidence, null, 2);
      saveFile(`evidence-${id}.json`, new Blob([text], { type: "application/json" }));
    },
  });
  return (
    <>
      <ErrorAlert error={run.error} />
      <Button
        variant="default"
        size="xs"
        loading={run.isPending}
        onClick={() => run.mutate()}
        aria-label={`${t.collisions.export} ${id}`}
      >
        {t.collisions.export}
      </Button>
    </>
  );
}

import { Stack, Table, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";

import { answer } from "../../api/client";
import { useMe } from "../../api/me";
import { Rows } from "../../components/Rows";
import { Answered } from "../../components/Said";
import { Time } from "../../components/Time";
import { t } from "../../lib/strings";

export function Collisions() {
  const { api } = useMe();
  const query = useQuery({
    queryKey: ["collisions"],
    queryFn: async () => (await answer(api.GET("/v1/collisions"))).items,
  });
  return (
    <Stack>
      <Title order={2}>{t.pages.collisions}</Title>
      <Answered query={query} empty={t.collisions.none}>
        {(collisions) => (
          <Rows heads={[t.collisions.at, t.collisions.kind, t.collisions.where, t.bundle.title]}>
            {collisions.map((one) => (
              <Table.Tr key={one.id} data-testid="collision">
                <Table.Td>
                  <Time at={one.detected_at} />
                </Table.Td>
                <Table.Td>{t.collisions[one.kind]}</Table.Td>
                <Table.Td>
                  {one.kind === "usurped" ? "–" : `${t.bundle.lane(one.lane)}, ${one.n}`}
                </Table.Td>
                <Table.Td>
                  <Link to="/bundles/$id" params={{ id: one.bundle_id }}>
                    <code>{one.bundle_id}</code>
                  </Link>
                </Table.Td>
              </Table.Tr>
            ))}
          </Rows>
        )}
      </Answered>
    </Stack>
  );
}

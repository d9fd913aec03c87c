import { type Api, type Party, type Role, fetchAllPages, unwrap } from "./client";

/** Every consumer, or every producer. */
export function fetchParties(api: Api, role: Role): Promise<Party[]> {
  return fetchAllPages((query) => api.GET(`/v1/${role}s`, { params: { query } }));
}

/** Creates a one-time token with which an agent of the party can enrol. */
export async function createEnrolmentToken(api: Api, role: Role, partyId: string): Promise<string> {
  const body = { role, party_id: partyId };
  return (await unwrap(api.POST("/v1/enrolment-tokens", { body }))).token;
}

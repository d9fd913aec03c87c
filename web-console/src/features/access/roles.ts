import type { AccessRole } from "../../api/client";

/** The roles that an administrator can assign. */
export const ROLES = ["tenant-admin", "operator", "auditor"] as const satisfies AccessRole[];

export type AssignableRole = (typeof ROLES)[number];

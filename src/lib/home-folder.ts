import { homedir, userInfo } from 'node:os';

/**
 * `$HOME`; without one what the user database says; `/` for a user whom it does not know, as in containers that are
 * started with a number for a user.
 */
export function homeFolder({ HOME }: NodeJS.ProcessEnv = process.env): string {
  if (HOME) return HOME;
  try {
    return homedir() || userInfo().homedir;
  } catch {
    return '/';
  }
}

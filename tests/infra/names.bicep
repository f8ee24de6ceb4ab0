// Names for a list of environments, so that one call answers for many.
targetScope = 'subscription'

import { groupName, names, namesOf, tokenOf } from '../infra/names.bicep'

param environments string[]

output groups string[] = map(environments, environment => groupName(environment))
output others names[] = map(environments, environment =>
  namesOf(tokenOf(subscription().id, environment, 'westeurope'))
)

// Regions: a region's name comes in, what it lacks goes out.

var zoneless = [
  'australiacentral'
  'australiacentral2'
  'australiasoutheast'
  'brazilsoutheast'
  'canadaeast'
  'chinaeast'
  'chinaeast2'
  'chinanorth'
  'chinanorth2'
  'francesouth'
  'germanynorth'
  'jioindiacentral'
  'jioindiawest'
  'koreasouth'
  'northcentralus'
  'norwaywest'
  'southafricawest'
  'southindia'
  'switzerlandwest'
  'uaecentral'
  'ukwest'
  'usgovarizona'
  'usgovtexas'
  'westcentralus'
  'westindia'
  'westus'
]

@export()
@description('Whether a region has availability zones (https://learn.microsoft.com/azure/reliability/regions-list). One that is not known to lack them has them; storage is refused where that is wrong.')
func hasZones(location string) bool => !contains(zoneless, toLower(replace(location, ' ', '')))

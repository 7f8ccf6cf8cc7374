<?php
$config['app_version'] = '6.0.6';
$config['site_name'] = 'Portal de exemplo';
$config['save_tmpl_files'] = 'y';
$config['cache_driver'] = 'redis';
$config['show_ee_news'] = 'n';

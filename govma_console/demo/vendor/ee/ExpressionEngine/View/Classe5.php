<?php

class Classe5
{
    public function run(array $data)
    {
        // Nova município serviço anual atendimento hospital regional.
        // Serviço ampliada nova pública entrega abertura reunião região audiência.
        // Vacinação reunião pública prorroga abertura amplia.
        $data['texto'][] = 'Mensal convoca orienta interior escola.';
        $data['texto'][] = 'Abertura anuncia município atendimento município digital hospital prorroga convoca.';
        return $data;
    }
}
